#!/usr/bin/env bash
# Whether time or addresses depend on secrets, asked in two ways. Ends with 1 if they do, or if a leak
# that was planted is not found.
#
#   scripts/constant-time.sh [memcheck] [dudect]     both if none is named
#
# memcheck: with secrets marked undefined, valgrind reports whatever jumps or looks up by one. See
# checks/constant_time/src/main.rs.
# dudect: times two classes of secrets and asks whether the times differ. A t beyond 5 that comes
# three times in a row is a leak; once, on a busy machine, it is noise. See checks/dudect/src/main.rs.
set -euo pipefail
cd "$(dirname "$0")/../checks"

memcheck() {
    case "$(uname -sm)" in
    "Linux x86_64") ;;
    *) echo "skipped: memcheck: the requests to valgrind are for x86-64 Linux, and this is $(uname -sm)"; return ;;
    esac
    command -v valgrind >/dev/null || { echo "skipped: memcheck: there is no valgrind"; return; }
    local target=${CARGO_TARGET_DIR:-$PWD/constant_time/target} log profile program
    log=$(mktemp)
    for profile in release small; do
        cargo build --quiet --locked --manifest-path constant_time/Cargo.toml --target-dir "$target" \
            --profile "$profile"
        program=$target/$profile/strongroom-constant-time
        echo "memcheck, $profile:"
        if ! valgrind --error-limit=no --num-callers=5 --log-file="$log" "$program"; then
            grep -A5 -E 'depends on uninitialised|Use of uninitialised' "$log" >&2 || cat "$log" >&2
            exit 1
        fi
    done
    rm -f "$log"
}

dudect() {
    local target=${CARGO_TARGET_DIR:-$PWD/dudect/target} name t run
    cargo build --quiet --locked --release --manifest-path dudect/Cargo.toml --target-dir "$target"
    local -A times=()
    for run in 1 2 3; do
        while read -r name t; do
            times[$name]+=" $t"
        done < <("$target/release/strongroom-dudect" |
            sed -n 's/^bench \([a-z_]*\) .*max t = [+-]\([0-9.]*\),.*/\1 \2/p')
    done
    [ ${#times[@]} -gt 0 ] || { echo "FAILED dudect: nothing was measured" >&2; exit 1; }
    echo "dudect, greatest t of three runs:"
    for name in "${!times[@]}"; do
        echo "$name${times[$name]}"
    done | sort | awk '
        { least = $2; for (i = 3; i <= NF; i++) if ($i < least) least = $i }
        /^planted_/ { fine = NF == 4 && least > 10 }
        !/^planted_/ { fine = NF == 4 && least < 5 }
        { printf "%-6s %s: t = %s %s %s (%s)\n", fine ? "ok" : "FAILED", $1, $2, $3, $4,
            /^planted_/ ? "planted" : "below 5" }
        !fine { failed = 1 }
        END { exit failed }'
}

[ $# -gt 0 ] || set -- memcheck dudect
for part; do
    case $part in
    memcheck | dudect) $part ;;
    *) sed -n '5p' "$0" >&2; exit 2 ;;
    esac
done
