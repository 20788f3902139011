//! The rules of the architecture, checked on the source text. ARCHITECTURE.md gives the reasons. A rule that stands only in a document is a
//! wish.
//!
//! `modules` checks who may use whom, `imports` the files that import each other and the folders of `worker`, `files` sizes and `unsafe`,
//! `compat` the rows of COMPAT.md, `reference` the manual in docs/reference, `unused` code that is never connected, `wording` the words of
//! comments. `source` reads the code: comments, the insides of string literals, everything from `#[cfg(test)]` to a file's end (tests stand
//! last), files named `tests.rs` or `..._tests.rs` and folders named `tests` are not code.

mod compat;
mod files;
mod imports;
mod modules;
mod reference;
mod source;
mod unused;
mod wording;
