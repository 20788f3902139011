#!/usr/bin/env bash
# Checks the dependencies: licences, banned and doubled crates, sources, and known vulnerabilities (cargo-deny, deny.toml; cargo-audit
# over the same RustSec advisory database).
#
#   scripts/supply-chain.sh
#
# The tools are compiled from the registry, once, into target/supply-chain, where they are not installed. Advisories cannot be checked
# where their database cannot be fetched: that is said, and is no failure unless RINGWAY_REQUIRE_ADVISORIES=1.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf 'supply chain: %s\n' "$*"; }

tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/supply-chain
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:$tools/bin
# need TOOL VERSION: not optimized, they only read.
need() {
    command -v "$1" >/dev/null && return
    say "compiling $1 $2"
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "$1@$2"
}

need cargo-deny 0.20.2
cargo deny --locked check --hide-inclusion-graph bans licenses sources

# Fetching the database is the first thing it does, and says so when it fails.
is_checked=yes
if cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo deny --locked check --hide-inclusion-graph advisories
    need cargo-audit 0.22.2
    # The exceptions stand in deny.toml alone.
    mapfile -t ignored < <(sed -n 's/.*{ id = "\(RUSTSEC-[0-9-]*\)", reason = .*/--ignore=\1/p' deny.toml)
    cargo audit --deny warnings "${ignored[@]}"
else
    is_checked=no
fi

scripts/sbom.sh | jq -r '"supply chain: bill of materials: \(.components | length) crates in the binary"'
if [ "$is_checked" = no ]; then
    say "NOT CHECKED: advisories: their database cannot be fetched from here"
    [ "${RINGWAY_REQUIRE_ADVISORIES:-}" != 1 ] || exit 1
else
    say "all checked"
fi
