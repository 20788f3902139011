//! Configuration: as written ([`static_config`], [`dynamic`]) and as compiled ([`snapshot`]), with one pure function between the two.
//! This module does no I/O: texts and facts are passed in as values.

use serde::Serialize;

use crate::diagnostics::{Code, Diagnostic};
use crate::limits::Bound;

pub mod duration;
pub mod compile;
pub mod dynamic;
pub mod small_map;
pub mod static_config;
pub mod json;
pub mod kv;
pub mod labels;
pub mod pem;
pub mod snapshot;
pub mod middleware_states;
pub mod text;

/// An object of a provider's configuration that cannot be applied as written; the rest of the configuration is applied
/// (docs/reference/providers.md#rejected-objects).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejected {
    /// The provider's name as the API shows it: `file`, `docker`.
    pub provider: String,
    /// The object, as its author would call it: `frontend web`, `container shop-1`.
    pub name: String,
    /// The cause, and what to do about it.
    pub reason: String,
    pub severity: Severity,
    /// The kind of mistake (docs/reference/check.md#codes).
    pub code: Code,
    /// The option of the object, or the label, that the reason is about; empty if the whole object is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The bound that was exceeded, if that is the cause; for the counters.
    #[serde(skip)]
    pub bound: Option<Bound>,
}

impl Rejected {
    /// The object `name` of a provider, and why it is not applied.
    pub fn new(provider: &str, name: String, severity: Severity, diagnostic: Diagnostic) -> Rejected {
        let Diagnostic { code, key, text: reason, bound } = diagnostic;
        Rejected { provider: provider.to_owned(), name, reason, severity, code, key, bound }
    }
}

/// How much of a [`Rejected`] object is not applied (docs/reference/api.md#rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is not applied at all.
    Rejected,
    /// The object is applied without some part, or with a default in place of a part.
    Partial,
}
