//! Ranges of route ranks, which the index and its prefilters share.

/// A range of positions in the index's list of ranks; the ranks at these positions ascend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RankRange {
    /// The first position.
    pub at: u32,
    /// The position behind the last one.
    pub end: u32,
}
