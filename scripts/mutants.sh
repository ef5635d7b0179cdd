#!/usr/bin/env bash
# Changes the core in small ways, one at a time, and sees whether a test fails (cargo-mutants 27).
#
#   scripts/mutants.sh FILE...          for example: scripts/mutants.sh buddy arena/leaves
#
# It works on a copy, in which the tests that use the core from outside are modules of the core's own
# test program, so that a mutant costs one small program instead of twelve. What survives the tests of
# its own module is tried with the others that are quick, and then, optimised, with all. The models
# draw the same operations each time. It ends with the rows for docs/MUTANTS.md, which says why the
# rest may survive.
#
# The lists are in $CARGO_TARGET_DIR/mutants (target/mutants by default).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
unset RUST_BACKTRACE
# A mutant may allocate for ever.
ulimit -v 16000000

[ $# -gt 0 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
command -v cargo-mutants >/dev/null || { echo "skipped: there is no cargo-mutants (cargo install cargo-mutants)"; exit 0; }
mutants=${CARGO_TARGET_DIR:-$PWD/target}/mutants
tree=$mutants/tree
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0

# What the tests from outside are made of, and those tests.
parts=(aead arena enclave faults noise raw script)
outside=(arena_model canaries enclave_model overwrites quarantine records regions releases secrets
    sizes threads)

# Tests of other parts, and slow ones.
others=(aead:: bulk:: classes:: constant_time:: drbg:: floors:: keystream:: wipe::)
slow=(any_bit_flipped arena_model::bytes enclave_model::bytes many_arenas of_one_length of_up_to_3000
    outside::threads readers_never_see released_in_order released_in_reverse small_regions)

copy_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z | tar -c --null -T - | tar -x -C "$tree"
    local core=$tree/core/src name
    # cargo-mutants passes over what is unsafe; the bodies of these functions need not be.
    find "$core" "$tree/core/examples" -name '*.rs' -exec sed -i 's/\bunsafe fn/fn/' {} +
    mkdir "$core/outside"
    for name in "${parts[@]}"; do
        cp -r "tests/src/$name.rs" "$core/outside/"
        [ -d "tests/src/$name" ] && cp -r "tests/src/$name" "$core/outside/"
    done
    find "$core/outside" -name '*.rs' -exec sed -i 's/\bcrate::/crate::outside::/g' {} +
    # Without what watches children, of which these tests have none.
    sed '/^pub mod child;/d' tests/tests/support/mod.rs >"$core/outside/support.rs"
    for name in "${outside[@]}"; do cp "tests/tests/$name.rs" "$core/outside/"; done
    local draws='cases: 50, failure_persistence: None, max_shrink_iters: 0, rng_seed: proptest::test_runner::RngSeed::Fixed(7),'
    (cd "$core/outside" && sed -i -e 's/\bstrongroom_tests::/crate::outside::/g' \
        -e 's/^mod support;/use crate::outside::support;/' -e "s/cases: [0-9]*,/$draws/" \
        support.rs "${outside[@]/%/.rs}")
    { echo '//! The tests from outside, and what they are made of.'
      printf 'pub mod %s;\n' "${parts[@]}" support
      printf 'mod %s;\n' "${outside[@]}"; } >"$core/outside.rs"
    sed -i -e 's/^#!\[no_std\]/#![cfg_attr(not(test), no_std)]/' \
        -e 's/^extern crate std;/extern crate self as strongroom_core;/' \
        -e 's/^#\[cfg(feature = "internals")\]/#[cfg(any(test, feature = "internals"))]/' "$core/lib.rs"
    printf '\n#[cfg(test)]\n#[allow(warnings, unsafe_code)]\nmod outside;\n' >>"$core/lib.rs"
    sed -i '0,/^\[.*dev-dependencies\]/s//&\nproptest.workspace = true/' "$tree/core/Cargo.toml"
}

# Where a file's lists are.
lists() { echo "$mutants/${1//\//-}"; }

# pass NUMBER LEVEL FILE ARGUMENT...: tries what survived the passes before, with tests optimised so far
# and chosen by the arguments.
pass() {
    local number=$1 level=$2 file=$3 out list more=()
    out=$(lists "$file")
    shift 3
    mkdir -p "$out"
    if [ "$number" -eq 1 ]; then rm -f "$out"/{caught,timeout,unviable}.?; else more=(--iterate); fi
    # What was built for one level serves no other.
    (cd "$tree" && CARGO_TARGET_DIR=$mutants/target-$level CARGO_PROFILE_TEST_OPT_LEVEL=$level \
        CARGO_PROFILE_DEV_OPT_LEVEL=$level cargo mutants --in-place --no-shuffle \
        --package strongroom-core --file "core/src/$file.rs" --output "$out" "${more[@]}" -- --lib -- "$@") ||
        [ $? -le 3 ]
    for list in caught timeout unviable; do cp "$out/mutants.out/$list.txt" "$out/$list.$number"; done
    # The next pass leaves out what was found, and takes no other list for that.
    cat "$out/timeout.$number" >>"$out/mutants.out/caught.txt"
}

skips() { printf -- '--skip %s ' "$@"; }

try() {
    local own=${1%%/*}:: most
    most=$(skips "${others[@]}" "${slow[@]}")
    case $1 in
        crypto/aead* | crypto/keystream) own="aead:: keystream::" most=$own ;;
        crypto/drbg) own=drbg:: most=$own ;;
    esac
    # A module without tests is tried with the others' at once.
    grep -q 'mod tests' "core/src/${1%%/*}.rs" || own=$most
    # shellcheck disable=SC2086 # lists of words
    {
        pass 1 0 "$1" $own
        [ "$own" = "$most" ] || pass 2 0 "$1" $most
    }
    pass 3 1 "$1" --skip floors::
}

# A row of the table in docs/MUTANTS.md: what became of a file's mutants in all passes.
row() {
    local out caught unviable timed_out survived
    out=$(lists "$1")
    caught=$(cat "$out"/caught.? | wc -l)
    unviable=$(cat "$out"/unviable.? | wc -l)
    timed_out=$(cat "$out"/timeout.? | wc -l)
    survived=$(wc -l <"$out/mutants.out/missed.txt")
    echo "| \`$1\` | $((caught + timed_out + unviable + survived)) | $caught | $timed_out | $unviable | $survived |"
}

copy_tree
for file in "$@"; do try "$file"; done
printf '\n| file of `core/src` | mutants | caught | timed out | unviable | survived |\n|---|---:|---:|---:|---:|---:|\n'
for file in "$@"; do row "$file"; done
printf '\nWhat survived:\n'
for file in "$@"; do cat "$(lists "$file")/mutants.out/missed.txt"; done
