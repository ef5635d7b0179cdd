#!/usr/bin/env bash
# Interprets strongroom for machines other than this one, under Miri: it stops at undefined behaviour,
# at data races, and at what is never given back. Needs nightly with the components miri and rust-src,
# and no other tool for any machine; says so where they are missing.
#
#   scripts/miri.sh [--short] [PART...] [MACHINE...]     all parts and machines if none is named
#
#   core      core's unit tests, twice: where pointers may point is held to stacked and to tree borrows
#   threads   tests/tests/interleaved.rs with 64 seeds, each with another order and other old values,
#             or with those named by STRONGROOM_MIRI_SEEDS (64..128). Whether each value is one of its
#             type, which takes longer than all else, is asked with the first two of them
#
# A machine is one of the targets below. --short takes a minute or three where the library was built
# before: few seeds on the two machines that differ most, and what core does with pointers. Logs go to
# $CARGO_TARGET_DIR/miri/logs (target/miri/logs by default). Ends with 1 if a part failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
work=${CARGO_TARGET_DIR:-$PWD/target}/miri/logs
mkdir -p "$work" || exit
export CARGO_TERM_COLOR=never
# Vector instructions are not interpreted: the ciphers have other code.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg chacha20_backend=\"soft\" --cfg poly1305_backend=\"soft\""
unset RUST_BACKTRACE

machines_known=(
    x86_64-unknown-linux-gnu
    riscv64gc-unknown-linux-gnu # orders memory weakly
    powerpc-unknown-linux-gnu   # 32 bits, high byte first, no 64-bit atomics
    s390x-unknown-linux-gnu     # high byte first
    aarch64-apple-darwin
)
short_threads=(riscv64gc-unknown-linux-gnu powerpc-unknown-linux-gnu)
short_core=(powerpc-unknown-linux-gnu)
# What core does with pointers.
short_tests=(arena::tests::what buffer:: secret:: vec:: bulk::tests::odd enclave::tests::in_place
    a_forgotten_guard a_panic_while runs::tests::a_frozen place:: allocator::tests::nothing
    allocator::tests::the_gate in_its_place)

# --- parts -----------------------------------------------------------------------------------------

part_core() {
    local machine model
    for machine in $($short && chosen "${short_core[@]}" || chosen "${machines_known[@]}"); do
        for model in stacked tree; do
            ! $short || [ $model = stacked ] || continue
            interpret "core $machine $model" "$([ $model = stacked ] || echo -Zmiri-tree-borrows)" \
                -p strongroom-core --features allocator-api2-0_2 --lib --target "$machine" -- $($short && echo "${short_tests[@]}")
        done
    done
}

part_threads() {
    local machine
    for machine in $($short && chosen "${short_threads[@]}" || chosen "${machines_known[@]}"); do
        threads "threads $machine values" "${seeds%%..*}..$((${seeds%%..*} + 2))" "$machine"
        $short || threads "threads $machine" "$seeds -Zmiri-disable-validation" "$machine"
    done
}

# threads NAME SEEDS_AND_FLAGS MACHINE
threads() {
    interpret "$1" "-Zmiri-many-seeds=$2" \
        -p strongroom-tests --no-default-features --test interleaved --target "$3"
}

# Those of the machines given that were named, or all of them if none was.
chosen() {
    local machine
    for machine; do
        [ ${#machines[@]} -gt 0 ] && [[ " ${machines[*]} " != *" $machine "* ]] || echo "$machine"
    done
}

# interpret NAME FLAGS ARGUMENT...: cargo's arguments for a test under Miri, with flags for Miri.
interpret() {
    local name=$1 log=$work/${1// /-}.log begun=$SECONDS outcome=passed flags="-Zmiri-strict-provenance $2"
    shift 2
    echo "$name ..."
    MIRIFLAGS="${MIRIFLAGS:-} $flags" timeout 7200 cargo +nightly miri test --locked "$@" >"$log" 2>&1 || {
        outcome=FAILED
        failed=true
        grep -E -A12 '^error|FAILED|FAILING SEED|panicked at|error: ' "$log" | head -n 60
        echo "see $log"
    }
    table+=("$(printf '%-44s %-7s %5d s  %s' "$name" $outcome $((SECONDS - begun)) "$(count "$log")")")
}

# What the tests in a log came to; with many seeds, each of them counts.
count() {
    awk '/^Trying seed: / { seeds++ }
        /^test result:/ { passed += $4; failed += $6; ignored += $8 }
        END { if (seeds) printf "%d seeds: ", seeds
            printf "%d tests passed, %d failed, %d left out", passed, failed, ignored }' "$1"
}

# --- main ------------------------------------------------------------------------------------------

short=false
failed=false
parts=()
machines=()
table=()
for argument; do
    case $argument in
    --short) short=true ;;
    core | threads) parts+=("$argument") ;;
    *)
        [[ " ${machines_known[*]} " == *" $argument "* ]] ||
            { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/miri.sh >&2; exit 2; }
        machines+=("$argument")
        ;;
    esac
done
cargo +nightly miri --version >"$work/version.log" 2>&1 &&
    [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library/std" ] || {
    echo "skipped: Miri needs a nightly: rustup toolchain install nightly --component miri,rust-src"
    exit 0
}
seeds=${STRONGROOM_MIRI_SEEDS:-0..64}
[ ${#parts[@]} -gt 0 ] || parts=(core threads)
for part in "${parts[@]}"; do
    "part_$part"
done
echo
printf '%s\n' "${table[@]}"
! $failed
