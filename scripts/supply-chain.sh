#!/usr/bin/env bash
# Checks the dependencies: licences, banned and doubled crates, sources (cargo-deny, deny.toml), and known vulnerabilities (cargo-deny and
# cargo-audit over the RustSec advisory database).
#
#   scripts/supply-chain.sh
#
# What cannot be checked here, for want of a tool or of the database, is named, and is no failure unless RINGWAY_REQUIRE_ADVISORIES=1.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf 'supply chain: %s\n' "$*"; }

unchecked=()
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked check --hide-inclusion-graph bans licenses sources
    # Fetching the database is the first thing it does, and says so when it fails.
    if cargo deny --locked fetch db >/dev/null 2>&1; then
        cargo deny --locked check --hide-inclusion-graph advisories
    else
        unchecked+=("advisories with cargo-deny: the database cannot be fetched from here")
    fi
else
    unchecked+=("bans, licences, sources and advisories: cargo-deny is not installed (cargo install --locked cargo-deny)")
fi
if ! cargo audit --version >/dev/null 2>&1; then
    unchecked+=("advisories with cargo-audit: it is not installed (cargo install --locked cargo-audit)")
else
    status=0
    output=$(cargo audit --deny warnings 2>&1) || status=$?
    printf '%s\n' "$output"
    if [ "$status" -ne 0 ] && grep -q "couldn't fetch advisory database" <<<"$output"; then
        unchecked+=("advisories with cargo-audit: the database cannot be fetched from here")
    elif [ "$status" -ne 0 ]; then
        exit "$status"
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
