#!/usr/bin/env bash
# Tests and builds strongroom for machines other than this one, as far as this one can. What lacks a
# tool is skipped and says why; a table at the end tells how each part went.
#
#   scripts/other-machines.sh [--install] [PART...]
#
#   bare           core for six machines without an operating system
#   macos          everything for both kinds of Mac: checked, and the shim's examples and tests linked
#   linux          the shim and its tools for the other processors that have Linux: checked
#   no-atomic-64   the tests of core and models on this machine, as if it had no 64-bit atomics
#   i686           all tests but those in the docs, natively, with 32-bit addresses
#   aarch64 s390x  the same under QEMU's user mode; s390x is big-endian. On x86-64 QEMU orders memory as
#                  x86-64 does: what a weaker order could do is explored in checks/loom only.
#
# --install gets what is missing: packages from apt (as root), targets from rustup, a linker for
# macOS from PyPI. Logs and what was got go to $CARGO_TARGET_DIR/other-machines (target/ by default).
# Ends with 1 if a part failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
scripts=$PWD/scripts
work=${CARGO_TARGET_DIR:-$PWD/target}/other-machines
mkdir -p "$work" || exit
export CARGO_TERM_COLOR=never
# A lint that only another machine trips over is a failure as well.
export RUSTFLAGS="${RUSTFLAGS:-} -Dwarnings"
unset RUST_BACKTRACE
all=(-p strongroom-core -p strongroom -p strongroom-tests -p strongroom-doctor)

# What an emulated machine cannot be asked: the test, and why.
no_madvise="QEMU answers madvise for forks and dumps with success and does nothing"
no_seccomp="QEMU refuses seccomp filters"
no_priorities="QEMU is too slow, and its own locks lend no priority"
no_registers="the registers lie in memory of QEMU's own"
not_emulated=(
    "a_forked_child_locks_under_its_own_number: $no_madvise"
    "a_child_forked_while_a_vault_is_being_installed: $no_madvise"
    "a_child_holds_no_copy_anywhere: $no_madvise"
    "a_child_may_have_pages_of_its_own: $no_madvise"
    "a_child_of_a_process_with_a_vault_installed: $no_madvise"
    "a_child_sees_nothing_and_is_told_so: $no_madvise"
    "a_child_sees_zeros_and_is_told: $no_madvise"
    "a_core_dump_holds_nothing: $no_madvise"
    "a_daemon_makes_a_vault_of_its_own: $no_madvise"
    "a_forked_child_reads_nothing_into_memory_that_is_not_locked: $no_madvise"
    "before_another_program_is_executed: $no_madvise"
    "every_call_answers_at_once_while_the_line_is_locked: $no_madvise"
    "every_call_answers_at_once_while_threads_hold_every_lock: $no_madvise"
    "forked_children: $no_madvise"
    "forks_and_threads_go_together: $no_madvise"
    "the_kernel_confirms_each_protection: $no_madvise"
    "a_sandbox_that_forbids_locking_is_named: $no_seccomp"
    "a_sandbox_that_begins_meanwhile_leaves_nobody_asleep: $no_seccomp"
    "without_the_call_they_still_do: $no_seccomp"
    "an_urgent_thread_goes_on_beside_one_that_never_rests: $no_priorities"
    "a_thread_in_between_does_not_hold_up_an_urgent_one: $no_priorities"
    "waiters_that_lend_nothing_are_found_out: $no_priorities"
    "waiters_that_spin_are_found_out: $no_priorities"
    "a_system_without_the_call_is_unsupported: $no_seccomp"
    "without_any_hiding_there_are_no_pages_unless_preferred: $no_seccomp"
    "without_it_there_are_locked_pages_and_a_reason: $no_seccomp"
    "without_wiping_the_pages_are_absent: $no_seccomp"
    "a_capability_in_a_user_namespace_does_not_count: QEMU's own threads rule out a new namespace"
    "a_process_that_locks_everything_meets_the_limit_in_mmap: it would lock what is QEMU's own"
    "exhausted_mappings_are_told_from_the_lock_limit: QEMU's own mappings count"
    "want_of_address_space_is_told_from_the_lock_limit: QEMU ignores a limit on it"
    "nor_does_what_was_typed_at_a_terminal: $no_registers"
    "no_moment_shows_plaintext_nor_does_a_forked_child: $no_registers"
    "a_planted_copy_is_found: the heap that /proc shows is QEMU's own"
    "nothing_lies_outside_the_locked_region: $no_registers"
    "nor_do_the_registers_in_it: $no_registers"
)

# --- parts -----------------------------------------------------------------------------------------

part_bare() {
    local target flags features
    for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf \
        riscv64gc-unknown-none-elf aarch64-unknown-none x86_64-unknown-none; do
        library_for $target core || { skipped $target "$why"; continue; }
        flags=
        # This target has no SSE: its vector code crashes the compiler. The ciphers have other code.
        [ $target != x86_64-unknown-none ] ||
            flags=' --cfg chacha20_backend="soft" --cfg poly1305_backend="soft"'
        features=()
        # It has no compare-and-swap.
        [ $target != thumbv6m-none-eabi ] ||
            features=(--features portable-atomic,portable-atomic/critical-section)
        local build=("${cargo[@]}" build --locked -p strongroom-core --target $target "${features[@]}")
        RUSTFLAGS+=$flags run $target "${build[@]}" &&
            RUSTFLAGS+=$flags run $target-release "${build[@]}" --release &&
            { [[ $target != thumb* ]] || firmware $target; }
        told $target $? "core, debug and release$([[ $target != thumb* ]] || echo ", and the firmware")"
    done
}

# firmware TARGET: links the example, for one core and without a critical section from elsewhere.
firmware() {
    local features=()
    [ "$1" != thumbv6m-none-eabi ] ||
        features=(--features portable-atomic,portable-atomic/unsafe-assume-single-core)
    RUSTFLAGS+=" -Clink-arg=-Tlink.x -Lcore/examples/firmware" run "$1-firmware" "${cargo[@]}" build \
        --locked --release -p strongroom-core --example firmware --target "$1" "${features[@]}"
}

part_macos() {
    local target
    for target in aarch64-apple-darwin x86_64-apple-darwin; do
        library_for $target std || { skipped $target "$why"; continue; }
        run $target-check "${cargo[@]}" check --locked "${all[@]}" --all-targets --target $target
        told "$target check" $? "everything, all targets"
        zigbuild || { skipped "$target link" "$why"; continue; }
        run $target-link "${cargo[@]}" zigbuild --locked -p strongroom --examples --tests --target $target
        told "$target link" $? "the shim's examples and tests"
    done
}

part_linux() {
    local processor target
    for processor in riscv64gc powerpc64le s390x armv7; do
        target=$processor-unknown-linux-gnu
        [ $processor != armv7 ] || target+=eabihf
        library_for $target std || { skipped $target "$why"; continue; }
        run $target-check "${cargo[@]}" check --locked -p strongroom --all-features --target $target &&
            run $target-doctor "${cargo[@]}" check --locked -p strongroom-doctor --target $target
        told "$target check" $? "the shim with all features, and the doctor"
    done
}

part_no_atomic_64() {
    RUSTFLAGS+=" --cfg strongroom_no_atomic_64" run no-atomic-64 \
        cargo test --locked -p strongroom-core -p strongroom-tests --lib --bins --tests --no-fail-fast \
        -- --show-output
    told no-atomic-64 $? "$(count no-atomic-64)"
}

part_i686() {
    suite i686
}

part_aarch64() {
    suite aarch64 '\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
}

part_s390x() {
    suite s390x '\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16'
}

# --- test suites of foreign machines ---------------------------------------------------------------

# suite ARCHITECTURE [MAGIC]: the tests of a Linux machine. MAGIC is for scripts/emulated.sh, if QEMU
# is to run them, and those programs that tests start as well.
suite() {
    local name=$1 target=$1-unknown-linux-gnu within=() leave_out=() upper entry
    runs_programs_for "$@" && library_for "$target" std || { skipped "$name" "$why"; return; }
    upper=$(echo "$target" | tr a-z- A-Z_)
    # Linked with all they need, programs find no library missing here.
    local settings=("CARGO_TARGET_${upper}_LINKER=$name-linux-gnu-gcc"
        "CARGO_TARGET_${upper}_RUNNER=timeout 1200" "RUSTFLAGS=$RUSTFLAGS -Ctarget-feature=+crt-static")
    if [ $# -eq 2 ]; then
        # An emulator is slow enough without unoptimised code; the assertions stay.
        settings+=(CARGO_PROFILE_DEV_OPT_LEVEL=2)
        for entry in "${not_emulated[@]}"; do
            grep -qr "fn ${entry%%:*}()" --include=*.rs std-shim/tests tests/tests ||
                { told "$name" 1 "no test is named ${entry%%:*} any more"; return; }
            echo "skipped: $name: $entry"
            leave_out+=(--skip "${entry%%:*}")
        done
    fi
    # Some tests start the examples, which cargo does not build for a test.
    local build=("${cargo[@]}" build --locked -p strongroom --target "$target")
    local test=("${cargo[@]}" test --locked "${all[@]}" --lib --bins --tests --target "$target")
    local configured=(--example configured --features clap-4,derive,toml)
    run "$name-examples" env "${settings[@]}" "${build[@]}" --examples &&
        run "$name-configured" env "${settings[@]}" "${build[@]}" "${configured[@]}" &&
        run "$name-build" env "${settings[@]}" "${test[@]}" --no-run ||
        { told "$name" 1 "does not build"; return; }
    run "$name" "${within[@]}" env "${settings[@]}" timeout 7200 "${test[@]}" --no-fail-fast \
        -- --show-output --exact "${leave_out[@]}"
    told "$name" $? "$(count "$name")"
}

# runs_programs_for ARCHITECTURE [MAGIC]: whether they can be linked, and run `within` a command.
runs_programs_for() {
    local linker=$1-linux-gnu-gcc emulator=qemu-$1-static probe=$work/probe-$1
    has "$linker" "gcc-$1-linux-gnu" || return
    echo 'int main(void) { return 0; }' | "$linker" -static -x c - -o "$probe" 2>"$work/probe.log" ||
        { why="$linker links no static program: see $work/probe.log"; return 1; }
    "$probe" 2>/dev/null && return
    [ $# -eq 2 ] || { why="this kernel runs no programs for $1"; return 1; }
    has "$emulator" qemu-user-static || return
    within=("$scripts/emulated.sh" "$(command -v "$emulator")" "$2")
    "${within[@]}" "$probe" 2>"$work/probe.log" && return
    why="this kernel hands programs for $1 to no emulator: it takes binfmt_misc (qemu-user-binfmt), or \
Linux 6.7 and user namespaces; see $work/probe.log"
    return 1
}

# --- what a part needs -----------------------------------------------------------------------------

# has COMMAND PACKAGE: whether there is the command, which Debian has in the package.
has() {
    command -v "$1" >/dev/null && return
    why="there is no $1: as root, apt-get install $2"
    $install && [ "$(id -u)" -eq 0 ] && apt-get -qq update && apt-get -qq install --yes "$2" \
        >"$work/apt.log" 2>&1 && command -v "$1" >/dev/null
}

# library_for TARGET core|std: sets `cargo` so that the target has its library.
library_for() {
    local toolchain=$work/toolchain
    cargo=(cargo)
    has_library "$1" && return
    $install && rustup target add "$1" 2>/dev/null && has_library "$1" && return
    $install && "$scripts/toolchain.sh" "$toolchain"
    if [ -x "$toolchain/bin/cargo" ]; then
        # A setting, not a flag, so that it holds for what tests build as well.
        cargo=(env "PATH=$toolchain/bin:$PATH"
            CARGO_UNSTABLE_BUILD_STD="$([ "$2" = core ] && echo core || echo std,panic_abort)" cargo)
        return
    fi
    why="there is no library for $1: rustup target add $1, or scripts/toolchain.sh $toolchain"
    return 1
}

has_library() {
    ls "$(rustc --print target-libdir --target "$1" 2>/dev/null)"/libcore-* >/dev/null 2>&1
}

# The linker for macOS: zig's, through cargo-zigbuild.
zigbuild() {
    local zig=$work/zig/bin
    ! $install || [ -x "$zig/cargo-zigbuild" ] ||
        { python3 -m venv "$work/zig" && "$zig/pip" install --quiet ziglang cargo-zigbuild; }
    [ ! -x "$zig/cargo-zigbuild" ] || PATH=$zig:$PATH
    command -v cargo-zigbuild >/dev/null && return
    why="there is no cargo-zigbuild: pip install ziglang cargo-zigbuild"
    return 1
}

# --- telling ---------------------------------------------------------------------------------------

# run NAME COMMAND...: into a log. Shows where it failed, and what tests found missing.
run() {
    local name=$1 log=$work/$1.log status
    shift
    echo "$name ..."
    "$@" >"$log" 2>&1
    status=$?
    grep '^skipped: ' "$log" | sort -u | sed "s/^skipped:/& $name:/"
    [ $status -eq 0 ] && return
    grep -E '^error|FAILED' "$log" | head -n 40
    echo "see $log (status $status)"
    return $status
}

# What the tests in a log came to. One that found something missing passed, but said `skipped`.
count() {
    awk '/^test .* \.\.\. ok$/ { passed++ }
        /^test .* \.\.\. FAILED$/ { failed++ }
        /^test result:/ { left_out += $8 + $12; test = "" }
        /^---- .* stdout ----$/ { test = $2 }
        /^skipped: / && test { in_part++; test = "" }
        END { printf "%d tests passed, %d of them skipped at least in part; %d failed, %d left out",
            passed, in_part, failed, left_out }' "$work/$1.log"
}

table=()
failed=false
told() {
    local outcome=passed
    [ "$2" -eq 0 ] || { outcome=FAILED; failed=true; }
    row "$1" $outcome "$3"
}

skipped() {
    echo "skipped: $1: $2"
    row "$1" skipped "$2"
}

row() {
    table+=("$(printf '%-28s %-8s %5d s  %s' "$1" "$2" $((SECONDS - begun)) "$3")")
    begun=$SECONDS
}

# --- main ------------------------------------------------------------------------------------------

install=false
parts=()
for argument; do
    case $argument in
    --install) install=true ;;
    bare | macos | linux | no-atomic-64 | i686 | aarch64 | s390x) parts+=("$argument") ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$scripts/other-machines.sh" >&2; exit 2 ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(bare macos linux no-atomic-64 i686 aarch64 s390x)
begun=$SECONDS
for part in "${parts[@]}"; do
    "part_${part//-/_}"
done
echo
printf '%s\n' "${table[@]}"
! $failed
