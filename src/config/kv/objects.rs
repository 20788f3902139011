//! The dynamic configuration of a prefix, kept object by object: a change reads the changed objects again and no others.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::backend;
use super::frontend::frontend;
use super::keys::{KeyTree, ObjectName};
use super::node::KeyProblem;
use super::tls::certificates;
use crate::config::dynamic::{Backend, DynamicConfig, Frontend, TlsEntry};
use crate::config::text::shape::Shape;
use crate::config::{Rejected, Severity};
use crate::diagnostics::{Code, Diagnostic};

/// The objects that have been read so far.
pub struct Objects {
    provider: &'static str,
    constraints: Vec<String>,
    shapes: Shapes,
    dynamic: DynamicConfig,
    rejected: BTreeMap<ObjectName, Vec<Rejected>>,
}

struct Shapes {
    backend: Shape,
    frontend: Shape,
    tls: Shape,
}

impl Objects {
    /// No objects yet. `constraints` choose servers by their tags.
    pub fn new(provider: &'static str, constraints: Vec<String>) -> Objects {
        let shapes =
            Shapes { backend: Shape::of::<Backend>(), frontend: Shape::of::<Frontend>(), tls: Shape::of::<TlsEntry>() };
        Objects { provider, constraints, shapes, dynamic: DynamicConfig::default(), rejected: BTreeMap::new() }
    }

    /// Reads the changed objects again.
    pub fn update(&mut self, keys: &KeyTree, changed: &BTreeSet<ObjectName>) {
        for object in changed {
            self.rejected.remove(object);
            let mut problems = Vec::new();
            let outcome = match object {
                ObjectName::Backend(name) => self.read_backend(keys, name, &mut problems),
                ObjectName::Frontend(name) => self.read_frontend(keys, name, &mut problems),
                ObjectName::Tls => {
                    self.dynamic.tls = certificates(&keys.below("tls"), &self.shapes.tls, &mut problems);
                    Ok(())
                }
            };
            let mut rejected: Vec<Rejected> =
                problems.into_iter().map(|problem| self.partial(object, problem)).collect();
            rejected.extend(outcome.err().map(|problem| self.reject(object, problem)));
            if !rejected.is_empty() {
                self.rejected.insert(object.clone(), rejected);
            }
        }
    }

    /// The whole configuration, and what of it is rejected.
    pub fn document(&self) -> (DynamicConfig, Vec<Rejected>) {
        (self.dynamic.clone(), self.rejected.values().flatten().cloned().collect())
    }

    fn read_backend(&mut self, keys: &KeyTree, name: &str, problems: &mut Vec<KeyProblem>) -> Result<(), KeyProblem> {
        self.dynamic.backends.remove(name);
        let keys = keys.below(&format!("backends/{name}"));
        if !keys.is_empty() {
            let read = backend(&keys, &self.shapes.backend, &self.constraints, problems)?;
            self.dynamic.backends.insert(name.to_owned(), read);
        }
        Ok(())
    }

    fn read_frontend(&mut self, keys: &KeyTree, name: &str, problems: &mut Vec<KeyProblem>) -> Result<(), KeyProblem> {
        self.dynamic.frontends.remove(name);
        let keys = keys.below(&format!("frontends/{name}"));
        if !keys.is_empty() {
            let read = frontend(&keys, &self.shapes.frontend, problems)?;
            self.dynamic.frontends.insert(name.to_owned(), read);
        }
        Ok(())
    }

    fn reject(&self, object: &ObjectName, problem: KeyProblem) -> Rejected {
        let reason = match object {
            ObjectName::Backend(_) => format!("{}: {}; backend rejected", problem.key, problem.reason),
            _ => format!("{}: {}; frontend rejected", problem.key, problem.reason),
        };
        self.finding(object, Severity::Rejected, Code::InvalidKey, problem.key, reason)
    }

    fn partial(&self, object: &ObjectName, problem: KeyProblem) -> Rejected {
        self.finding(object, Severity::Partial, Code::IgnoredKey, problem.key, problem.reason)
    }

    fn finding(&self, object: &ObjectName, severity: Severity, code: Code, key: String, reason: String) -> Rejected {
        let name = match object {
            ObjectName::Backend(name) => format!("backend {name}"),
            ObjectName::Frontend(name) => format!("frontend {name}"),
            ObjectName::Tls => "tls".to_owned(),
        };
        Rejected::new(self.provider, name, severity, Diagnostic::new(code, key, reason))
    }
}
