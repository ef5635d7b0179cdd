#!/usr/bin/env bash
# Runs a command where the kernel hands one kind of foreign program to an emulator, those as well that
# other programs start. Nothing is changed outside: it is a user namespace of its own (Linux 6.7).
#
#   scripts/emulated.sh EMULATOR MAGIC COMMAND...
#
# MAGIC is how the foreign programs begin, escaped for binfmt_misc: an ELF header up to its machine.
set -euo pipefail

if [ "$1" = --inside ]; then
    user=$2 group=$3 emulator=$4 magic=$5
    shift 5
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    # The eighth byte is the system's; a program may be linked to move about (type 3 for 2).
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff'
    case $magic in
    *'\x02\x00\x16') mask+='\xff\xfe\xff\xff' ;; # high byte first
    *) mask+='\xfe\xff\xff\xff' ;;
    esac
    printf '%s' ":strongroom:M::$magic:$mask:$emulator:F" >/proc/sys/fs/binfmt_misc/register
    [ "$user" -ne 0 ] || exec "$@"
    # Only root may register; the command is to be who called, with no more rights.
    exec unshare --user --map-user="$user" --map-group="$group" "$@"
fi

inside=("$(realpath "$0")" --inside "$(id -u)" "$(id -g)" "$@")
if [ "$(id -u)" -ne 0 ]; then
    exec unshare --user --map-root-user --mount "${inside[@]}"
fi
# Root keeps all users, for tests that become another; so the map is written from outside. Opening the
# gate waits for the other side, which there must be.
unshare --user --keep-caps --mount true
gate=$(mktemp -u)
mkfifo "$gate"
unshare --user --keep-caps --mount bash -c 'read -r _ <"$0" && exec "$@"' "$gate" "${inside[@]}" &
exec 3>"$gate"
rm "$gate"
for map in uid_map gid_map; do
    awk '{ print $1, $1, $3 }' /proc/self/$map >/proc/$!/$map
done
echo >&3
exec 3>&-
wait $!
