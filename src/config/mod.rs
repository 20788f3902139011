//! Configuration: as written ([`static_config`], [`dynamic`]) and as compiled ([`snapshot`]), with one pure function between the two.
//! This module does no I/O: texts and facts are passed in as values.

use serde::Serialize;

use crate::limits::Bound;

pub mod duration;
pub mod compile;
pub mod dynamic;
pub mod small_map;
pub mod static_config;
pub mod json;
pub mod labels;
pub mod suggest;
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
    /// The bound that was exceeded, if that is the cause; for the counters.
    #[serde(skip)]
    pub bound: Option<Bound>,
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
