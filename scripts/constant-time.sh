#!/usr/bin/env bash
# Runs what handles secrets under valgrind's memcheck with the secrets marked undefined: whatever
# jumps or looks up by a secret is reported. See tests/constant_time/src/main.rs.
set -euo pipefail
cd "$(dirname "$0")/../tests/constant_time"
case "$(uname -sm)" in
"Linux x86_64") ;;
*) echo "skipped: constant time: the requests to valgrind are for x86-64 Linux, and this is $(uname -sm)"; exit 0 ;;
esac
if ! command -v valgrind >/dev/null; then
    echo "skipped: constant time: there is no valgrind"
    exit 0
fi
target=${CARGO_TARGET_DIR:-$PWD/target}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for profile in release small; do
    cargo build --quiet --locked --target-dir "$target" --profile "$profile"
    program=$target/$profile/strongroom-constant-time
    echo "$profile:"
    if ! valgrind --error-limit=no --num-callers=5 --log-file="$log" "$program"; then
        grep -A5 -E 'depends on uninitialised|Use of uninitialised' "$log" >&2 || cat "$log" >&2
        exit 1
    fi
done
