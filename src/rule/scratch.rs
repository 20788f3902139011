//! Memory for routing and path modifiers, which later requests reuse.

use super::index::Candidates;
use super::output::Output;
use super::path::PathBuffers;

/// The buffers of [`super::Router::route`] and [`super::Modifiers::apply`]. Neither allocates once the buffers have grown to the size
/// that requests need.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) path: PathBuffers,
    pub(super) output: Output,
    pub(super) host: Vec<u8>,
    pub(super) folded: Vec<u8>,
    pub(super) reversed: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) candidates: Candidates,
}
