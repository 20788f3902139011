//! Arguments in, exit code out. No logic.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ringway::app::main(std::env::args().skip(1).collect())
}
