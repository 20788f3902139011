//! `ringway check` and the running proxy on inputs with mistakes: `tests/check/golden` has each input (`NAME.in`) with the whole output
//! (`NAME.out`). `RINGWAY_BLESS=1` rewrites the outputs; read the difference before committing it.

#[path = "../support/mod.rs"]
mod base;

mod case;
mod documents;
mod engine;
mod golden;
mod speed;
mod word_for_word;
