//! The program: passes its arguments to [`ringway::app::main`] and returns the exit code. No logic.

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::begin();
    ringway::app::main(std::env::args().skip(1).collect(), allocator::release)
}
