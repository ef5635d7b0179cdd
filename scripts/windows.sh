#!/usr/bin/env bash
# Runs the shim's tests with windows on every vault that was asked for nothing: by pages here, or by keys
# where the processor has them (the guest of tests/guest/run has). The flag changes what a vault has by
# default, and no code.
#
#   scripts/windows.sh [pages|keys]
#   scripts/windows.sh --left-out      which tests are left out, and why
set -euo pipefail
cd "$(dirname "$0")/.."
page="it counts pages, of which the key has one with windows"
touches="it touches shut memory on purpose"
left_out=(
    "a_fault_handler_may_call_everything: $touches"
    "a_reserve_is_for_those_who_name_it: $page"
    "a_thread_s_end_drops_what_it_keeps: $page"
    "a_wipe_in_a_fault_handler_is_no_tampering: $touches"
    "bad_options_are_told: $page"
    "damage_is_told_to_the_handler: $touches"
    "every_call_works_or_says_why_and_nothing_stays_locked: $page"
    "more_at_once_than_fit_get_on_by_waiting: $page"
    "odd_budgets: $page"
    "segments_end_in_any_order: $page"
    "sixty_four_kib_are_enough_for_all_but_one_page_each: $page"
    "the_longest_secret_that_is_named_fits_and_no_longer_one_does: $page"
    "what_could_never_be_open_together_is_said_at_once: $page"
    "what_is_printed_for_debugging_is_the_sentence: $page"
    "what_was_consumed_is_wiped: $touches"
    "whatever_is_named_as_the_largest_fits: $page"
)
if [ "${1:-}" = --left-out ]; then
    printf '%s\n' "${left_out[@]}"
    exit
fi
kind=${1:-pages}
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/windows-$kind
export RUSTFLAGS="${RUSTFLAGS:-} --cfg strongroom_test_windows=\"$kind\""
skip=()
for test in "${left_out[@]}"; do
    echo "left out: $test"
    skip+=(--skip "${test%%:*}")
done
cargo test --locked --no-fail-fast -p strongroom --features store --lib --tests -- "${skip[@]}"
