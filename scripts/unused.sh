#!/usr/bin/env bash
# Finds code that is built and tested but never connected: functions, constants, variants and fields that the program does not reach from
# its main function. `pub` hides them from the compiler, so the library is compiled as a program, its modules private.
#
#   scripts/unused.sh
#
# An item that tests alone need is marked where it stands, with the reason; the mark fails here once the program uses the item:
#   #[cfg_attr(reachability, expect(dead_code, reason = "..."))]
set -euo pipefail

cd "$(dirname "$0")/.."
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
project=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# The project with another lib.rs; everything else is a link.
ln -s "$project"/* "$copy"
rm "$copy/src" "$copy/Cargo.toml" "$copy/Cargo.lock"
cp Cargo.toml Cargo.lock "$copy"
mkdir "$copy/src"
ln -s "$project"/src/* "$copy/src"
rm "$copy/src/lib.rs"
sed 's/^pub mod /mod /' src/lib.rs >"$copy/src/lib.rs"
echo 'fn main() -> std::process::ExitCode { app::main(Vec::new(), || ()) }' >>"$copy/src/lib.rs"

cd "$copy"
# Names that tests import by a shorter path are no unused code.
CARGO_TARGET_DIR=$target cargo rustc --locked --quiet --profile check --lib --crate-type bin -- \
    --cfg reachability -D warnings -A unused_imports
echo "everything is reached from main, or marked with its reason"
