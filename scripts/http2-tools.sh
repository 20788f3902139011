#!/usr/bin/env bash
# Installs what tests need and Debian does not have: the conformance suite httpwg from crates.io, the Python packages of
# tests/http2/python/requirements.txt in an environment of their own, and for tests/metrics the StatsD server of npm.
#
#   scripts/http2-tools.sh
#
# All go into a folder outside the project, so that one machine installs them once: RINGWAY_TOOLS, or ringway-tools in the user's cache.
set -euo pipefail

cd "$(dirname "$0")/.."
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
say() { printf 'tools of HTTP/2: %s\n' "$*"; }

# tests/http2/suite.rs has the number of cases of this version.
httpwg=0.2.5
requirements=tests/http2/python/requirements.txt
tools=${RINGWAY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-tools}
mkdir -p "$tools"

# Not optimized: the suite waits for the proxy most of the time.
if [ ! -x "$tools/bin/httpwg" ] || [ "$(cat "$tools/httpwg.version" 2>/dev/null)" != "$httpwg" ]; then
    say "compiling httpwg-cli $httpwg"
    cargo install --quiet --locked --debug --force --root "$tools" --target-dir "$tools/build" "httpwg-cli@$httpwg"
    echo "$httpwg" >"$tools/httpwg.version"
    rm -rf "$tools/build"
fi
if ! cmp -s "$requirements" "$tools/python/requirements.txt"; then
    say "installing $(grep -c == "$requirements") Python packages"
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    "$tools/python/bin/python3" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$requirements"
    cp "$requirements" "$tools/python/requirements.txt"
fi
statsd=0.9.0
if { [ ! -e "$tools/node/node_modules/statsd/stats.js" ] || [ "$(cat "$tools/statsd.version" 2>/dev/null)" != "$statsd" ]; } && command -v npm >/dev/null; then
    say "installing statsd $statsd"
    npm install --silent --no-audit --no-fund --no-save --omit=optional --prefix "$tools/node" "statsd@$statsd"
    echo "$statsd" >"$tools/statsd.version"
fi
say "in $tools"
