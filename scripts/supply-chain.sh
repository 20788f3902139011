#!/usr/bin/env bash
# Checks the dependencies, of the proxy and of fuzz/: licences, banned and doubled crates, sources, and known vulnerabilities (cargo-deny,
# deny.toml; cargo-audit over the same RustSec advisory database).
#
#   scripts/supply-chain.sh
#
# The tools are compiled from the registry, once, into target/supply-chain, where they are not installed. What cannot be checked here, for
# want of the registry or of the database, is named, and is no failure unless RINGWAY_REQUIRE_ADVISORIES=1.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf 'supply chain: %s\n' "$*"; }

tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/supply-chain
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:$tools/bin
# has TOOL VERSION: not optimized, they only read.
has() {
    command -v "$1" >/dev/null && return
    say "compiling $1 $2"
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "$1@$2" || return
    rm -rf "$tools/build"
}

# check WHICH...: by cargo-deny, in both sets of dependencies.
check() {
    local manifest
    for manifest in Cargo.toml fuzz/Cargo.toml; do
        say "cargo deny check $* ($manifest)"
        cargo deny --locked --manifest-path "$manifest" --config deny.toml check --hide-inclusion-graph "$@"
    done
}

unchecked=()
if ! has cargo-deny 0.20.2; then
    unchecked+=("bans, licences, sources and advisories: cargo-deny cannot be compiled here")
else
    check bans licenses sources
    # Fetching the database is the first thing it does, and says so when it fails.
    if ! cargo deny --locked fetch db >/dev/null 2>&1; then
        unchecked+=("advisories: their database cannot be fetched from here")
    else
        check advisories
        if has cargo-audit 0.22.2; then
            # The exceptions stand in deny.toml alone.
            mapfile -t ignored < <(sed -n 's/.*{ id = "\(RUSTSEC-[0-9-]*\)", reason = .*/--ignore=\1/p' deny.toml)
            for lock in Cargo.lock fuzz/Cargo.lock; do
                cargo audit --deny warnings --file "$lock" "${ignored[@]}"
            done
        else
            unchecked+=("advisories a second time: cargo-audit cannot be compiled here")
        fi
    fi
fi

scripts/sbom.sh | jq -r '"supply chain: bill of materials: \(.components | length) crates in the binary"'
if [ ${#unchecked[@]} -gt 0 ]; then
    for what in "${unchecked[@]}"; do
        say "NOT CHECKED: $what"
    done
    [ "${RINGWAY_REQUIRE_ADVISORIES:-}" != 1 ] || exit 1
else
    say "all checked"
fi
