//! Findings for the operator: each mistake of a configuration has a stable code, with its meaning and its remedy, and a place. The same
//! sentence is printed by `ringway check`, logged by the running proxy and listed by its API (docs/reference/check.md).

mod code;
mod diagnostic;
mod finding;
mod json;
mod sarif;
pub mod suggest;
mod text;

pub use code::Code;
pub use diagnostic::Diagnostic;
pub use finding::{Counts, Finding, Level, Place};
pub use json::{RunSummary, json};
pub use sarif::sarif;
pub use text::text;
