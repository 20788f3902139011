//! Rules: Traefik v1's rule text, compiled; the table of routes; and what a route does to the path.
//!
//! [`Rule::parse_all`] reads a frontend's rule texts, [`Router::build`] ranks and indexes the routes of an entry point,
//! [`Router::route`] answers for one request, and [`Modifiers::apply`] gives the target to forward. Source: dynamic.md 4.

mod filter;
mod index;
mod matcher;
mod modifier;
mod parse;
mod path;
pub mod pattern;
mod redirect;
mod remark;
mod replacement;
mod router;
mod template;
mod trie;

pub use matcher::{Headers, Unclaimed};
pub use modifier::{Applied, FieldEdit, Modifiers, Rewritten, X_FORWARDED_PREFIX, X_REPLACED_PATH};
pub use parse::{InvalidRule, Rule, expressions, parse_domains};
pub use pattern::InvalidPattern;
pub use redirect::moved_permanently_body;
pub use remark::Remark;
pub use router::{Outcome, PRIORITY_LAST, RequestFacts, Route, Router, RouterOptions, Scratch, canonical_host};
