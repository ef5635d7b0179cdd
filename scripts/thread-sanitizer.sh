#!/usr/bin/env bash
# Runs what many threads do at once under the thread sanitizer, which finds data races between
# accesses that no atomic operation orders. Needs nightly; says so where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never

skip() { printf 'skipped: %s\n' "$*"; exit 0; }
[ "$(uname -sm)" = "Linux x86_64" ] || skip "tried on x86-64 Linux only, and this is $(uname -sm)"
# The nightly that rustup has, or the one that scripts/toolchain.sh made in $STRONGROOM_TOOLCHAIN.
toolchain=${STRONGROOM_TOOLCHAIN:-$(rustup run nightly rustc --print sysroot 2>/dev/null || true)}
[ -x "$toolchain/bin/rustc" ] || skip "the thread sanitizer needs a nightly compiler: rustup toolchain install nightly"
export PATH=$toolchain/bin:$PATH
[ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library/std" ] ||
    skip "the thread sanitizer needs a standard library built for it: rustup component add rust-src --toolchain nightly, or scripts/toolchain.sh DIR and STRONGROOM_TOOLCHAIN=DIR"

# `halt_on_error` makes any report a failure. The target keeps build scripts free of the flags.
export RUSTFLAGS="-Zsanitizer=thread"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
tests() { cargo test --locked --release -Zbuild-std --target x86_64-unknown-linux-gnu "$@"; }

tests -p strongroom-core --lib runs::
tests -p strongroom-tests --test threads
# What threads and tasks do at once with a vault. `STRONGROOM_SANITIZER` leaves out what writes over
# memory in use on purpose.
export STRONGROOM_SANITIZER=thread
# Its `mlock` does nothing, so what compares the locked bytes with the kernel's is left out too.
tests -p strongroom --lib vault:: -- --skip a_reserve_is_for_those_who_name_it \
    --skip a_vault_grows_to_its_ceiling_and_gives_back_in_any_order
tests -p strongroom --test vault_line --test vault_wakers --test vault_growth --test vault_together \
    --test vault_forged --test vault_foreign --test vault_stress \
    -- --skip nothing_is_locked_for_a_forged_record
