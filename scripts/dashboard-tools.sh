#!/usr/bin/env bash
# Installs what tests/dashboard needs and Debian does not have: the npm packages of tests/dashboard/browser/package.json, into a folder
# outside the project: RINGWAY_TOOLS, or ringway-tools in the user's cache. Chromium itself is Debian's.
#
#   scripts/dashboard-tools.sh
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf 'tools of the dashboard: %s\n' "$*"; }

packages=tests/dashboard/browser/package.json
tools=${RINGWAY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-tools}/dashboard
if ! cmp -s "$packages" "$tools/package.json" || [ ! -d "$tools/node_modules/playwright-core" ]; then
    command -v npm >/dev/null || scripts/packages.sh npm
    say "installing npm packages"
    rm -rf "$tools"
    mkdir -p "$tools"
    cp "$packages" "$tools/"
    npm install --prefix "$tools" --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error >/dev/null
fi
say "in $tools"
