//! Intended differences from the recorded responses, each with its reason.

pub struct Difference {
    /// The beginning of the block's title.
    pub block: &'static str,
    /// The beginning of the difference.
    pub what: &'static str,
    #[allow(dead_code, reason = "for the reader")]
    pub why: &'static str,
}

impl Difference {
    pub fn covers(&self, title: &str, problem: &str) -> bool {
        title.starts_with(self.block) && problem.starts_with(self.what)
    }
}

const fn difference(block: &'static str, what: &'static str, why: &'static str) -> Difference {
    Difference { block, what, why }
}

/// A response without a length is flushed at once by a newer Go: an artefact of the recorded build
/// (docs/reference/middlewares.md#flushing, build caveat).
const FLUSHED: &str = "flushed by the recorded build before its type was known; a 502 has its text/plain";
const NO_SERVER: &str = "the 503 of a backend without a usable server says when to come back (COMPAT.md)";
const LOST: &str = "what was sent was not recorded";

pub const DIFFERENCES: &[Difference] = &[
    difference("dead", "field content-type", FLUSHED),
    difference("dead", "body", "the raw recording shows the chunks of the flushed answer"),
    difference(
        "errdead / ",
        "status",
        "flushed with 200 before its status was known (docs/reference/middlewares.md#flushing): the status is 502",
    ),
    difference("errdead / ", "field content-type", "lost with the same flush: the page's own type stays"),
    difference("badscheme", "", "a server URL of an unknown scheme rejects its frontend with a message (COMPAT.md)"),
    difference(
        "fwdred / ",
        "field location",
        "the relative target of an authentication server stays relative to the client's URL (COMPAT.md)",
    ),
    difference("empty ", "field retry-after", NO_SERVER),
    difference("hc ", "field retry-after", NO_SERVER),
    difference(" / ", "", "an empty Host field is 400 (COMPAT.md)"),
    difference("paths", "echo uri", "the recording shows the bytes of the two-byte character as two characters"),
    difference("connect", "", "CONNECT is 501 (COMPAT.md)"),
    difference("stream", "not replayed", LOST),
    difference("dead2", "not replayed", LOST),
    difference("close", "not replayed", LOST),
    difference("ws", "not replayed", "frames are relayed and not made anew; tests/live shows what a backend gets"),
    difference("expect", "not replayed", "100 comes from the proxy (COMPAT.md); tests/security shows it"),
    difference(
        "gzcompress-small",
        "not replayed",
        "configured on the entry point `gz`; tests/middlewares_live shows the limit of 512 bytes",
    ),
];
