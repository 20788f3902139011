//! What is installed beside the program: completions in the shells that they are for, the man page, the Debian package in a root that
//! debootstrap made, and the release.

#[path = "../support/mod.rs"]
mod support;

mod aarch64;
mod completions;
mod debian;
mod man_page;

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway");

/// Whether a program is installed; a test without it is skipped, or fails where tools are required.
fn has(tool: &str) -> bool {
    support::tool_or_skip(tool, support::installed(tool))
}
