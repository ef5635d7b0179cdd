# Part of tests/guest/run: suites on other kernels than Debian's newest for this kind of machine.

# Pages of 16 KiB: Debian's kernel for such ARM machines. The tests cannot be asked for their names here, so
# each file of tests is one.
suite_pages() {
    local target=aarch64-unknown-linux-musl kernel file
    has qemu-system-aarch64 qemu-system-arm && has_library &&
        kernel_of trixie arm64 'linux-image-[0-9.]*[+]deb13-arm64-16k' ||
        { echo "skipped: $suite: $why"; return; }
    # No cross compiler is needed. What the host has cannot strip for this machine.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
    export CARGO_PROFILE_DEV_DEBUG=none
    build $(printf -- "--test %s " $FILES_OF_PAGES)
    for file in $FILES_OF_PAGES; do
        program "$file" 900 "$(built "$file")" --test-threads 2 $(leave_out) $NOT_WITH_SUCH_PAGES
    done
    # Linux 6.12 with such pages does not boot with the 52-bit addresses of QEMU 7.2.
    machine=(qemu-system-aarch64 -M virt -cpu max,lpa2=off,pauth-impdef=on) console=ttyAMA0 drivers=()
    memory=1024 kernel_arguments=secretmem.enable=1
    boot 2400 -smp 2
}
# Here the test's own allocations move into the place that was let go of.
NOT_WITH_SUCH_PAGES="--skip a_child_finds_a_hole_and_may_drop_it"
FILES_OF_PAGES="pages limits secret_memory fork locked_arena vault_limits vault_growth windows wipe"

# Linux 5.10: before memfd_secret, and before the limit of 8 MiB that is the default since 5.16.
suite_old_kernel() {
    local kernel
    kernel_of bullseye amd64 'linux-image-5.10.[0-9-]*-amd64' || { echo "skipped: $suite: $why"; return; }
    on_kernel
}

# Debian's kernel as it is booted by default: it has memfd_secret, but switched off.
suite_no_secret_memory() {
    on_kernel
}

on_kernel() {
    local file files="secret_memory limits key_share pages fork vault_limits windows"
    build $(printf -- '--test %s ' $files)
    for file in $files; do
        tests "$file"
    done
    tests protection_keys
    memory=1024 drivers=()
    boot 1800 -smp 2
}

# leave_out: what tells a file of tests to leave out what is not for the guest.
leave_out() {
    local entry
    for entry in "${not_in_guest[@]}"; do
        printf -- '--skip %s ' "${entry%%: *}"
    done
}

# kernel_of RELEASE ARCHITECTURE PATTERN: sets `kernel` to the newest of Debian's packages with such a name,
# which --install fetches, holds against the release that Debian has signed, and unpacks.
kernel_of() {
    local folder=$cache/$1-$2
    kernel=$(ls "$folder"/boot/vmlinu[xz]-* 2>/dev/null | head -n 1)
    [ -z "$kernel" ] || return 0
    why="there is no kernel in $folder: tests/guest/run --install $suite"
    $install && has curl curl && has gpgv gpgv || return
    rm -rf "$folder.part" && mkdir -p "$folder.part" && fetch_signed "$folder.part" "$@" || return
    rm -rf "$folder" && dpkg-deb -x "$folder.part/package.deb" "$folder.part/unpacked" &&
        mv "$folder.part/unpacked" "$folder" && rm -r "$folder.part" &&
        kernel=$(ls "$folder"/boot/vmlinu[xz]-*)
}

# fetch_signed FOLDER RELEASE ARCHITECTURE PATTERN: package.deb, from the mirror, with what it is held against.
fetch_signed() {
    local mirror=http://deb.debian.org/debian keys=/usr/share/keyrings/debian-archive-keyring.gpg
    local index=main/binary-$3/Packages.xz path sum
    why="$mirror/dists/$2 is not as Debian signed it (by the keys of debian-archive-keyring)"
    curl -fsS --output-dir "$1" -O "$mirror/dists/$2/InRelease" -O "$mirror/dists/$2/$index" &&
        gpgv --quiet --keyring $keys --output "$1/Release" "$1/InRelease" 2>"$1/gpgv.log" &&
        is_sum "$(awk -v "of=$index" '$3 == of && length($1) == 64 { print $1 }' "$1/Release")" \
            "$1/Packages.xz" || return
    read -r path sum < <(xz -dc "$1/Packages.xz" |
        awk '/^Filename:/ { path = $2 } /^SHA256:/ { print path, $2 }' |
        grep -E "/${4}_[^/]* " | sort -V | tail -n 1)
    why="$mirror has no such kernel: $4"
    [ -n "$path" ] && curl -fsS -o "$1/package.deb" "$mirror/$path" || return
    why="$mirror/$path is not what Debian signed"
    is_sum "$sum" "$1/package.deb"
}

# is_sum SHA256 FILE
is_sum() {
    [ -n "$1" ] && echo "$1  $2" | sha256sum --check --status
}

# The vault and the store for STRONGROOM_SOAK_SECONDS each, on a machine that swaps all the while.
suite_soak() {
    local seconds=${STRONGROOM_SOAK_SECONDS:-600} disk=$work/soak.disk
    build --features store --test soak --test store
    truncate -s 0 "$disk" && truncate -s 1G "$disk" && mkswap -q "$disk" || broken "mkswap failed"
    squeezed store STRONGROOM_SECONDS="$seconds" store --ignored --exact stress --nocapture
    squeezed vault STRONGROOM_SOAK_SECONDS="$seconds" soak --nocapture
    memory=256 disks=("$disk") kernel_arguments=zswap.enabled=0
    boot $((2 * seconds + 1200)) -smp 2
    rm -f "$disk"
}

# squeezed NAME SETTING FILE ARGUMENT...
squeezed() {
    local name=$1 setting=$2 path
    path=$(realpath "$(built "$3")")
    shift 3
    file "$path"
    program "$name" $((seconds + 300)) "$setting" "$(bin victim)" squeeze "$path" "$@"
}
