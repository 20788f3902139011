#!/usr/bin/env bash
# Builds the fuzz targets of fuzz/targets and runs them, two at a time.
#
#   scripts/fuzz.sh [--secs N] [--runs N] [TARGET...]
#
# --secs N   how long each target runs: 60 seconds if not given
# --runs N   the most executions of each target, from a fixed seed and the seeds alone: two runs of one build try nearly the same inputs.
#            A search for new inputs takes hours and no fixed seed; the tests of a change should not depend on luck.
# TARGET     a target's name; all targets if none is given
#
# Seeds stand in fuzz/corpus/TARGET; what a run finds beyond them is kept in fuzz/target/corpus/TARGET and is where the next run goes on.
# An input that breaks a target is left in fuzz/artifacts: scripts/fuzz.sh ends with 1, and says how to run it again.
# No cargo-fuzz and no nightly compiler: the flags below are those that cargo-fuzz gives to rustc.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf 'fuzz: %s\n' "$*"; }

seconds=60 runs=
usage="usage: fuzz.sh [--secs N] [--runs N] [TARGET...]"
while :; do
    case "${1:-}" in
    --secs) seconds=${2:?$usage} ;;
    --runs) runs=${2:?$usage} ;;
    *) break ;;
    esac
    shift 2
done
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz/targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi
for target in "${targets[@]}"; do
    [ -e "fuzz/targets/$target.rs" ] || { say "there is no target $target in fuzz/targets" >&2; exit 1; }
done

host=$(rustc -vV | sed -n 's/^host: //p')
binaries=fuzz/target/$host/release
build() {
    local flags=(
        -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
        -Cllvm-args=-simplifycfg-branch-fold-threshold=0
        # The address sanitizer watches the unsafe code of dependencies; the stable compiler takes its flag only with RUSTC_BOOTSTRAP.
        -Zsanitizer=address
        --cfg fuzzing
    )
    # With an explicit target the flags do not reach build scripts and procedural macros.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" \
        cargo build --locked --manifest-path fuzz/Cargo.toml --release --target "$host" "${targets[@]/#/--bin=}"
}

# One target, its output in a file; the last line of this function's own is the summary.
run() {
    local target=$1 log=fuzz/target/logs/$1.log status=0
    mkdir -p "fuzz/target/corpus/$target" "fuzz/corpus/$target" fuzz/target/logs fuzz/artifacts
    local dictionary=()
    if [ -e "fuzz/dictionaries/$target.txt" ]; then
        dictionary=("-dict=fuzz/dictionaries/$target.txt")
    fi
    local fixed=() found="fuzz/target/corpus/$target"
    if [ -n "$runs" ]; then
        found=fuzz/target/corpus/$target.fixed
        rm -rf "$found"
        mkdir "$found"
        fixed=("-runs=$runs" -seed=1 -reload=0)
    fi
    "$binaries/$target" "${fixed[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -detect_leaks=0 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target-" "${dictionary[@]}" \
        "$found" "fuzz/corpus/$target" >"$log" 2>&1 || status=$?
    local executed coverage
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
    if [ "$status" -ne 0 ]; then
        say "$target FAILED: $(grep -m 1 -E 'panicked at|ERROR:|ALARM' "$log")"
        say "run it again: $binaries/$target $(ls -t "fuzz/artifacts/$target-"* 2>/dev/null | head -1); all it said: $log"
        return 1
    fi
    say "$target: ${executed:-0} executions, ${coverage:-cov: 0}"
}

build
# Bash hands the function to the shells of xargs.
export -f run say
export seconds runs binaries
printf '%s\n' "${targets[@]}" | xargs -P 2 -I TARGET bash -c 'run TARGET'
