#!/usr/bin/env bash
# Counts the instructions of the whole exchange (benches/exchange.rs) under valgrind, and fails where one costs 5 % more than its bound.
#
#   scripts/instructions.sh [FILTER]
#
# The tool that runs valgrind is compiled from the registry, once, into target/gungraun.
set -euo pipefail

cd "$(dirname "$0")/.."
scripts/packages.sh valgrind gcc libc6-dev

tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/gungraun
# The library refuses a runner of another version.
version=$(cargo metadata --locked --format-version 1 | grep -o '"name":"gungraun","version":"[^"]*' | cut -d'"' -f8)
if [ "$("$tools/bin/gungraun-runner" --version 2>/dev/null)" != "gungraun-runner $version" ]; then
    # Not optimized: it only reads what valgrind writes.
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "gungraun-runner@$version"
fi

# Profile, flags and target of the image, so that what scripts/image.sh has compiled is used again: all of it where it was told to build the
# bench too, as scripts/test.sh does. Link-time optimization would cost three minutes more, and shows a change no better.
target=$(rustc -vV | sed -n 's/^host: //p')
export GUNGRAUN_RUNNER=$tools/bin/gungraun-runner RUSTFLAGS="-C target-feature=+crt-static"
exec cargo bench --locked --profile image --target "$target" --bench exchange -- "$@"
