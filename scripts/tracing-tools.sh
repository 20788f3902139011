#!/usr/bin/env bash
# Installs the collector that tests/tracing runs and Debian does not have: Rotel, whose program is in a Python package.
#
#   scripts/tracing-tools.sh
#
# It goes into the folder of scripts/http2-tools.sh, outside the project, so that one machine installs it once.
set -euo pipefail

rotel=0.0.1a15
tools=${RINGWAY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-tools}
mkdir -p "$tools"
if [ ! -x "$tools/rotel/rotel-agent" ] || [ "$(cat "$tools/rotel.version" 2>/dev/null)" != "$rotel" ]; then
    rm -rf "$tools/rotel.new"
    # Only the program is used: no packages that this one depends on.
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$tools/rotel.new" "rotel==$rotel"
    rm -rf "$tools/rotel"
    mv "$tools/rotel.new/rotel" "$tools/rotel"
    rm -rf "$tools/rotel.new"
    echo "$rotel" >"$tools/rotel.version"
fi
printf 'the collector of tests/tracing: in %s\n' "$tools/rotel"
