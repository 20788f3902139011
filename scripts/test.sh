#!/usr/bin/env bash
# The whole test suite, on a fresh Debian machine with nothing but Rust: installs what the tests need, starts a Docker Engine
# if none answers, builds the image, checks format and lints, counts instructions, and runs every test with nothing skipped.
#
#   scripts/test.sh
#
# Ends with 0 only if all of it passed. What it started it ends; packages that it installed stay.
set -euo pipefail

cd "$(dirname "$0")/.."
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/sbin:/sbin
export RINGWAY_REQUIRE_DOCKER=1 RINGWAY_REQUIRE_PEBBLE=1 RINGWAY_REQUIRE_TOOLS=1
# Every test file is a program of its own: with debug information and incremental caches they fill a small disk. A panic names its
# line without either.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=none
started=$SECONDS

step() { printf '\n== %s (at %d s)\n' "$*" $((SECONDS - started)); }

scratch=$(mktemp -d)
# Part of the name of every container, network and image that the tests make.
export RINGWAY_RUN=run$$
image=ringway:$RINGWAY_RUN

# A test removes what it made, unless it was killed because it took too long.
remove_leftovers() {
    docker ps -aq --filter "name=$RINGWAY_RUN" | xargs -r docker rm -f -v
    docker network ls -q --filter "name=$RINGWAY_RUN" | xargs -r docker network rm
    docker images --format '{{.Repository}}:{{.Tag}}' | { grep -F "$RINGWAY_RUN" || true; } | xargs -r docker rmi
}

clean_up() {
    local status=$?
    remove_leftovers >/dev/null 2>&1 || true
    if [ -s "$scratch/engine.pid" ]; then
        local pid
        pid=$(cat "$scratch/engine.pid")
        kill "$pid" 2>/dev/null || true
        # The engine stops its containers and its containerd; wait for that, but not for ever.
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
    fi
    if [ -n "${debian_root:-}" ]; then kill "$debian_root" 2>/dev/null || true; fi
    if [ -n "${http2_tools:-}" ]; then kill -- "-$http2_tools" 2>/dev/null || true; fi
    rm -rf "$scratch"
    df -h . | tail -n 1
    step "$([ "$status" -eq 0 ] && echo 'all passed' || echo "FAILED with status $status")"
    exit "$status"
}
trap clean_up EXIT
# Without these a run that is ended says that all passed.
trap 'exit 130' INT
trap 'exit 143' TERM

step "packages"
# The engine is not among them: scripts/engine.sh installs one only where none answers.
scripts/packages.sh pebble nginx-light libnginx-mod-stream haproxy nodejs podman runc netavark apache2-utils curl ca-certificates gcc g++ libc6-dev binutils openssl tar jq iproute2 util-linux \
    procps strace faketime nghttp2-client nghttp2-server chromium python3 python3-venv python3-pip postgresql redis-server mariadb-server openssh-server openssh-client \
    dnsmasq-base bind9-dnsutils knot knot-dnsutils etcd-server etcd-client zookeeperd golang-go \
    prometheus influxdb goaccess fail2ban \
    zsh fish mandoc man-db bsdutils lintian dpkg-dev debootstrap systemd-container qemu-user-static
# Some packages of Node.js bring npm along, and exclude Debian's.
command -v npm >/dev/null || scripts/packages.sh npm
# Compiles beside the next steps; the tests wait for it.
setsid scripts/http2-tools.sh >"$scratch/http2-tools.log" 2>&1 &
http2_tools=$!
scripts/dashboard-tools.sh
# Made once, over the network, beside the next steps; the tests of the package take a copy.
scripts/debian-root.sh >/dev/null 2>"$scratch/debian-root.log" &
debian_root=$!

# Half of the live tests wait for something most of the time: one more at a time for every two cores.
runner=(cargo nextest run --locked --test-threads "$(($(nproc) * 3 / 2))")
if ! cargo nextest --version >/dev/null 2>&1; then
    # Compiling it takes as long as all of this together.
    echo "cargo-nextest is not installed: cargo test runs the tests instead"
    runner=(cargo test --locked --no-fail-fast --lib --bins --tests)
fi

step "Docker Engine"
scripts/engine.sh --pid-file "$scratch/engine.pid"

step "format"
cargo fmt --check

step "lints"
cargo clippy --locked --all-targets -- -D warnings

step "unused code"
scripts/unused.sh

step "supply chain"
scripts/supply-chain.sh

step "image"
# With the bench of the next step: by itself that would compile the library once more, with the features that dev-dependencies add.
RINGWAY_PROFILE=${RINGWAY_PROFILE:-image} RINGWAY_BESIDE="--bench exchange" scripts/image.sh "$image"
export RINGWAY_IMAGE=$image

step "instructions"
scripts/instructions.sh

step "tools of HTTP/2"
tools_status=0
wait "$http2_tools" || tools_status=$?
cat "$scratch/http2-tools.log"
[ "$tools_status" -eq 0 ] || exit "$tools_status"

step "Debian system"
wait "$debian_root" || { cat "$scratch/debian-root.log"; exit 1; }

step "binary for aarch64"
# Not optimized: the cheapest that runs. Nothing of it is compiled again unless it has changed.
aarch64_status=0
RINGWAY_AARCH64_BINARY=$(scripts/static-binary.sh aarch64-unknown-linux-gnu dev) || aarch64_status=$?
export RINGWAY_AARCH64_BINARY
# 3: this machine has no compiler for it, which the script has said. All else is a failure.
[ "$aarch64_status" -eq 0 ] || [ "$aarch64_status" -eq 3 ] || exit "$aarch64_status"
# The static binary of the image, for the tests of the Debian package.
RINGWAY_BINARY=$(realpath "${CARGO_TARGET_DIR:-target}")/$(rustc -vV | sed -n 's/^host: //p')/${RINGWAY_PROFILE:-image}/ringway
export RINGWAY_BINARY
step "tools of tracing"
scripts/tracing-tools.sh

step "tests"
"${runner[@]}"

step "documentation tests"
cargo test --locked --doc

step "fuzzing"
scripts/fuzz.sh --secs 20 --runs 50000
