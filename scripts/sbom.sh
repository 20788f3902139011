#!/usr/bin/env bash
# Writes the bill of materials of the ringway binary, CycloneDX 1.5 in JSON, to standard output: every crate that is linked into it, with
# version, licence and the checksum of Cargo.lock.
#
#   scripts/sbom.sh [TARGET] >ringway.cdx.json     for this machine if no target is named
set -euo pipefail

cd "$(dirname "$0")/.."
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}

# Name and version of a package, and its checksum; the lock file holds them in this order.
checksums=$(awk -F'"' '/^name/ { name = $2 } /^version/ { version = $2 } /^checksum/ { print name "@" version, $2 }' Cargo.lock)

# What runs only while building, procedural macros included, is no part of the binary.
cargo tree --locked --edges normal,no-proc-macro --target "$target" --prefix none --format '{p}|{l}' | sort -u |
    jq --raw-input --slurp --arg checksums "$checksums" '
        ($checksums | split("\n") | map(split(" ") | {(.[0]): .[1]}) | add) as $sums
        | [split("\n")[] | select(. != "")
            # `name v1.2.3 (where it is, if not in the registry)|licence`; a crate that was shown before ends in (*).
            | sub(" \\(\\*\\)$"; "")
            | capture("^(?<name>\\S+) v(?<version>\\S+)[^|]*\\|(?<licence>.*)$")
            # The old way to write a choice.
            | .licence |= gsub(" */ *"; " OR ")]
        | unique_by(.name, .version)
        | (map(select(.name == "ringway"))[0]) as $own
        | {
            bomFormat: "CycloneDX",
            specVersion: "1.5",
            version: 1,
            metadata: { component: {
                type: "application", "bom-ref": "ringway", name: "ringway", version: $own.version,
                licenses: [{ expression: $own.licence }]
            } },
            components: map(select(.name != "ringway") | {
                type: "library",
                "bom-ref": "pkg:cargo/\(.name)@\(.version)",
                name, version,
                purl: "pkg:cargo/\(.name)@\(.version)",
                licenses: [{ expression: .licence }],
                hashes: [{ alg: "SHA-256", content: $sums["\(.name)@\(.version)"] }]
            })
        }'
