//! Finds constraints that cannot be read, and those that choose nothing or everything.

use super::problem::Problem;
use crate::diagnostics::Code;

/// Checks the constraints of a provider; `key` is their option.
pub(super) fn check_constraints(key: &str, constraints: &[String], problems: &mut Vec<Problem>) {
    for (index, constraint) in constraints.iter().enumerate() {
        let parts = constraint.split_once("==").or_else(|| constraint.split_once("!="));
        match parts {
            Some(("tag", "")) => {
                let effect = if constraint.contains("==") { "no container" } else { "every container" };
                let message = format!("{constraint:?} has an empty value and matches {effect}: write \"tag==api\"");
                problems.push(Problem::warning(Code::InvalidConstraint, key, message).of_item(index));
            }
            Some(("tag", _)) => {}
            _ => {
                let message = format!("{constraint:?} is no constraint: write \"tag==api\" or \"tag!=us-*\"");
                problems.push(Problem::fatal(Code::InvalidConstraint, key, message).of_item(index));
            }
        }
    }
}
