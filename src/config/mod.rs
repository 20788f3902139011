//! Configuration: what was written ([`fixed`], [`dynamic`]) and what it means ([`snapshot`]), with one pure function between.
//! No I/O here: texts and facts come in as values.

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

/// A piece of a provider's document that cannot be used; the rest of the document is (docs/reference/providers.md#rejected-objects).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejected {
    /// The provider's name as the API shows it: `file`, `docker`.
    pub provider: String,
    /// What was refused, as its author would call it: `frontend web`, `container shop-1`.
    pub name: String,
    /// Why, and what to do about it.
    pub reason: String,
    /// The bound that it went beyond, if it was one; for the counters.
    #[serde(skip)]
    pub bound: Option<Bound>,
}
