//! Rules in the language of Traefik v1: parsing, routing, and the path modifiers of a route (docs/reference/rules.md).
//!
//! [`Rule::parse_all`] parses the rule texts of a frontend, [`Router::build`] ranks and indexes the routes of an entry point,
//! [`Router::route`] finds the route of a request, and [`Modifiers::apply`] returns the target to forward.

mod contradiction;
mod diagnostic;
mod host;
mod index;
mod invalid;
mod matcher;
mod modifier;
mod output;
mod parse;
mod path;
pub mod pattern;
mod prefilter;
mod rank_range;
mod redirect;
mod replacement;
mod router;
mod scratch;
mod shadow;
pub mod sni;
mod template;
mod trace;
mod trie;

pub use host::canonical_host;
pub use invalid::InvalidRule;
pub use matcher::{Headers, UntrustedHeaders};
pub use modifier::{FieldEdit, Modifiers, PathOutcome, Rewritten, X_FORWARDED_PREFIX, X_REPLACED_PATH};
pub use parse::{Rule, expressions, parse_domains};
pub use pattern::InvalidPattern;
pub use redirect::moved_permanently_body;
pub use router::{PRIORITY_LAST, Route, RouteOutcome, RouteRequest, Router, RouterOptions};
pub use scratch::Scratch;
pub use shadow::{Shadow, shadowed};
pub use trace::{Condition, RouteTrace};
