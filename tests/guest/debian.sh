# Part of tests/guest/run: suites on a machine with Debian on its disk, systemd as its first process and
# Podman and LXC. The tests are in tests/guest/in-debian, and run there; with STRONGROOM_ONLY those whose
# names such a regular expression matches.

suite_systemd() {
    on_debian 1200
}

suite_containers() {
    on_debian 1800
}

# on_debian SECONDS: all tests whose names begin with the suite's.
on_debian() {
    local disk name payload=$work/$suite.payload
    disk=$(debian_disk) || { echo "skipped: $suite: $disk"; return; }
    echo "building $suite ..."
    cargo build --locked --target $target -p strongroom-tests -p strongroom-doctor --bin guest \
        --bin strongroom-doctor >"$work/$suite.build.log" 2>&1 ||
        broken "does not build: see $work/$suite.build.log"
    rm -rf "$payload" "$payload.disk"
    mkdir -p "$payload"
    strip -o "$payload/strongroom-doctor" "$(bin strongroom-doctor)"
    cp tests/guest/in-debian "$payload/"
    truncate -s 32M "$payload.disk" && mkfs.ext4 -q -d "$payload" "$payload.disk" || broken "mkfs.ext4 failed"
    for name in $(tests/guest/in-debian --list $suite); do
        [ -z "${STRONGROOM_ONLY:-}" ] || [[ $name =~ $STRONGROOM_ONLY ]] || continue
        plan+=("$name")
    done
    memory=1024 disks=("$disk" "$payload.disk") hand_over=true
    drivers+=(crc16 crc32c_generic mbcache jbd2 ext4 overlay)
    kernel_arguments="strongroom=$suite,${STRONGROOM_ONLY:-} secretmem.enable=1"
    # The disk stays as it is: what is written to it is kept elsewhere, and forgotten.
    boot "$1" -smp 2 -snapshot
    rm -rf "$payload" "$payload.disk"
}

# The disk, made once with --install; or why there is none.
debian_disk() {
    local folder=$cache/debian.part disk=$cache/debian-bookworm.ext4
    if [ ! -e "$disk" ]; then
        $install && [ "$(id -u)" -eq 0 ] ||
            { echo "there is no $disk: as root, tests/guest/run --install $suite"; return 1; }
        has debootstrap debootstrap && has mkfs.ext4 e2fsprogs || { echo "$why"; return 1; }
        rm -rf "$folder"
        nice -n 10 debootstrap --variant=minbase \
            --include=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,sudo,podman,netavark,crun,uidmap,lxc,systemd-container \
            bookworm "$folder" http://deb.debian.org/debian >"$work/debootstrap.log" 2>&1 ||
            { echo "debootstrap failed: see $work/debootstrap.log"; return 1; }
        furnish "$folder" && truncate -s 2G "$disk.part" && mkfs.ext4 -q -d "$folder" "$disk.part" &&
            mv "$disk.part" "$disk" || { echo "no disk could be made in $cache"; return 1; }
        rm -rf "$folder"
    fi
    echo "$disk"
}

# furnish FOLDER: the tests come on a second disk, and are started when the machine is up.
furnish() {
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
    echo guest >"$1/etc/hostname"
    echo 5d0a5d0a5d0a5d0a5d0a5d0a5d0a5d0a >"$1/etc/machine-id"
    cat >"$1/etc/systemd/system/strongroom-tests.service" <<'UNIT'
[Unit]
After=dbus.service systemd-logind.service
[Service]
Type=idle
ExecStart=/bin/sh -c 'mount /dev/vdb /opt && exec /opt/in-debian'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
UNIT
    cd "$1/etc/systemd/system" && mkdir -p multi-user.target.wants &&
        ln -sf ../strongroom-tests.service multi-user.target.wants/ &&
        for unit in apt-daily.timer apt-daily-upgrade.timer serial-getty@ttyS0.service getty@tty1.service \
            lxc-net.service lxc.service podman.service podman-auto-update.timer systemd-networkd-wait-online.service; do
            ln -sf /dev/null "$unit"
        done
}
