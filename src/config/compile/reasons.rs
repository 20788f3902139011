//! Reasons that HTTP, TCP and UDP frontends share.

use crate::diagnostics::{Code, Diagnostic};

/// The warning about a white list without addresses.
pub fn empty_white_list() -> Diagnostic {
    let text =
        "whiteList has no sourceRange and is ignored, all clients are allowed: list addresses, or remove whiteList";
    Diagnostic::new(Code::EmptyWhiteList, "whiteList", text)
}

/// The error of a white list with a text that is no address range.
pub fn invalid_range(text: String) -> Diagnostic {
    Diagnostic::new(Code::InvalidRange, "whiteList.sourceRange", text)
}

/// The error of an option that protects something and cannot be compiled.
pub fn invalid_middleware(key: &str, text: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::InvalidMiddleware, key, text)
}
