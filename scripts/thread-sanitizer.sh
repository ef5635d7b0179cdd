#!/usr/bin/env bash
# Runs what many threads do at once under the thread sanitizer, which finds data races between
# accesses that no atomic operation orders. Needs nightly; says so where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never

skip() { printf 'skipped: %s\n' "$*"; exit 0; }
[ "$(uname -sm)" = "Linux x86_64" ] || skip "tried on x86-64 Linux only, and this is $(uname -sm)"
command -v rustup >/dev/null || skip "the thread sanitizer needs a nightly compiler, and there is no rustup to find one"
rustup run nightly rustc --version >/dev/null 2>&1 || skip "the thread sanitizer needs a nightly compiler"

sources=$(rustup run nightly rustc --print sysroot)/lib/rustlib/src/rust/library/std
[ -d "$sources" ] || skip "the thread sanitizer needs a standard library built for it (rustup +nightly component add rust-src)"

# The sanitizer knows no fences: with the `cfg`, the words that they surround order by themselves
# (core/src/sync.rs); that the fences are enough is explored on a model in tests/loom/.
# `halt_on_error` makes any report a failure. The target keeps build scripts free of the flags.
export RUSTFLAGS="-Zsanitizer=thread --cfg strongroom_thread_sanitizer"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
tests() { cargo +nightly test --locked --release -Zbuild-std --target x86_64-unknown-linux-gnu "$@"; }

tests -p strongroom-core --lib runs::
tests -p strongroom-tests --test threads
