//! Arguments in, exit code out. No logic.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    memory::begin();
    ringway::app::main(std::env::args().skip(1).collect(), memory::release)
}
