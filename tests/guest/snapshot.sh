# Part of tests/guest/run: a machine of which a snapshot is taken, and which is resumed from it several times.

suite_snapshot() {
    local kernel saved=$work/$suite.saved
    qemu-system-x86_64 -device help 2>&1 | grep -q '"vmgenid"' ||
        { echo "skipped: $suite: this QEMU has no device vmgenid"; return; }
    # The driver is there since 5.18.
    kernel_of trixie amd64 'linux-image-[0-9.]*[+]deb13-amd64' || { echo "skipped: $suite: $why"; return; }
    build
    program cloned 60 "$(bin cloned)"
    drivers=() memory=256
    pack
    save 120
    # Copies whose hypervisor tells them so, and others that it tells nothing.
    resume told-1 b 2
    resume told-2 c 2
    resume untold-1 a 1
    resume untold-2 a 1
    unpack
    rm -f "$saved"
    # By themselves copies do not differ: this is what is to be mended.
    compare told plain same
    compare told renewed differ
    compare told log differ
    compare told clock differ
    compare untold plain same
    compare untold renewed differ
    compare untold log differ
    compare untold clock differ
    draws told
    draws untold
}

# save SECONDS: boots, and takes the snapshot when the program says that it is ready.
save() {
    local log=$work/$suite.log seconds=$1 waited
    : >"$log"
    {
        for ((waited = 0; waited < 10 * seconds; waited++)); do
            ! grep -Eq '^guest: (told ready|done)' "$log" || break
            sleep 0.1
        done
        printf '%s\n' "migrate \"exec:cat >'$saved'\"" quit
    } | emulate "$seconds" -monitor stdio -serial "file:$log" $(generation a) >"$log.monitor" 2>&1
    [ -s "$saved" ] && ! grep -Eq '^guest: (told plain|done)' "$log" ||
        broken "no snapshot: see $log and $log.monitor"
}

# resume NAME GENERATION NOTICES: goes on from the snapshot, until the machine is switched off. Who waits for
# the kernel's log is to renew itself so often: when the log tells of it, and when the clock is set.
resume() {
    local log=$work/$suite.$1.log before noticed
    start 120 "$log" -incoming "exec:cat '$saved'" $(generation "$2") >/dev/null
    judge "$log"
    # The first machine's last tick is the last that is known of the time before.
    before=$(sed -n 's/^tick \([0-9]*\) .*/\1/p' "$work/$suite.log" | tail -n 1)
    mapfile -t noticed < <(sed -n 's/^guest: told log noticed \([0-9]*\).*/\1/p' "$log")
    [ ${#noticed[@]} -eq "$3" ] || failures+=("$suite: $1: renewed ${#noticed[@]} times, not $3")
    [ ${#noticed[@]} -eq 0 ] || echo "$suite: $1: renewed at most $((noticed[0] - before)) microseconds after it was resumed"
}

# generation DIGIT: the device by which a hypervisor tells that a machine is another's copy.
generation() {
    echo -device "vmgenid,guid=$1$1$1$1$1$1$1$1-0000-4000-8000-000000000000"
}

# compare COPIES WAY same|differ: what both copies have drawn in that way.
compare() {
    local one two found=mixed
    one=$(drawn "$1-1" "$2") two=$(drawn "$1-2" "$2")
    [ "$one" != "$two" ] || found=same
    [ -n "$(comm -12 <(sort <<<"$one") <(sort <<<"$two"))" ] || found=differ
    [ "$(wc -l <<<"$one")" -gt 20 ] || found="not there"
    echo "$suite: copies that are $1: $2: $found"
    [ "$found" = "$3" ] || failures+=("$suite: $1: $2: $found, not $3")
}

# drawn COPY WAY: a line for each.
drawn() {
    sed -n "s/^guest: told $2 \([0-9a-f]\{16\}\)/\1/p" "$work/$suite.$1.log" | tr -s ' ' '\n'
}

# draws COPIES: how often the kernels of both drew the same after they were resumed, and OsEntropy never.
draws() {
    local kernels ours
    kernels=$(common "$1" 3) ours=$(common "$1" 4)
    echo "$suite: copies that are $1: the kernels' generators drew the same $kernels times, OsEntropy $ours"
    [ "$ours" -eq 0 ] || failures+=("$suite: $1: OsEntropy drew the same $ours times")
}

# common COPIES FIELD: of ticks at other times. Those at the same time were on their way before the snapshot.
common() {
    local copy logs=("$work/$suite.$1-1.log" "$work/$suite.$1-2.log")
    for copy in 0 1; do
        grep -hxE 'tick [0-9]+ [0-9a-f]{16} [0-9a-f]{16}' "${logs[copy]}" |
            grep -vxFf "${logs[1 - copy]}" | cut -d ' ' -f "$2" | sort -u
    done | sort | uniq -d | wc -l
}
