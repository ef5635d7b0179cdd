#!/usr/bin/env bash
# Prepares a nightly toolchain that builds core and std itself, for targets that rustup has none for.
#
#   scripts/toolchain.sh DIR [--debian]
#   PATH=DIR/bin:$PATH cargo build -Zbuild-std=core --target thumbv7em-none-eabihf
#
# DIR/bin becomes the nightly that rustup has, with the library's source beside it: rustup's own
# component rust-src, which is added if need be. Where rustup cannot be reached, or with --debian, it
# is Debian's package rust-src from the suite sid; then DIR/bin belongs to a hard-link copy, so that
# the installed nightly stays as it is (never edit files there in place).
#
# Ends with 0 if the toolchain is ready, with 3 if it cannot be had here, and says why.
set -euo pipefail

skip() {
    echo "skipped: $*" >&2
    exit 3
}

usage="usage: scripts/toolchain.sh DIR [--debian]"
[ $# -ge 1 ] && [ $# -le 2 ] && [ "${2:---debian}" = --debian ] || { echo "$usage" >&2; exit 2; }
directory=$(mkdir -p -- "$1" && cd -- "$1" && pwd)
source=lib/rustlib/src/rust/library

ready() {
    echo "$directory/bin is ready: $("$directory/bin/rustc" --version)"
    exit 0
}

# Links DIR to the sysroot $1.
use() {
    ln -sfn "$1/bin" "$directory/bin"
    ready
}

[ -e "$directory/bin/../$source/core/Cargo.toml" ] && ready
command -v rustup >/dev/null || skip "there is no rustup to take a nightly from"
nightly=$(rustup run nightly rustc --print sysroot 2>/dev/null) ||
    skip "there is no nightly: rustup toolchain install nightly --profile minimal"

if [ "${2:-}" != --debian ]; then
    [ -e "$nightly/$source/core/Cargo.toml" ] || rustup component add rust-src --toolchain nightly || true
    [ -e "$nightly/$source/core/Cargo.toml" ] && use "$nightly"
fi

# The package's version need not be the compiler's: a neighbouring release has built so far.
command -v apt-get >/dev/null || skip "rustup has no rust-src here, and there is no apt-get to ask instead"
mirror=$(sed -n 's/^URIs: *\([^ ]*\/debian\) *$/\1/p; s/^deb .*\(http[^ ]*\/debian\) .*/\1/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null | sort -u | sed -n 1p || true)
[ -n "$mirror" ] || skip "rustup has no rust-src here, and apt's sources name no Debian mirror"
apt=$directory/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$apt/sid.list"
options=(-qq -oDir::Etc::sourcelist="$apt/sid.list" -oDir::Etc::sourceparts=/dev/null
    -oDir::State::Lists="$apt/lists" -oDir::Cache="$apt/cache" -oAPT::Sandbox::User="$(id -un)")
apt-get "${options[@]}" update || skip "apt-get update failed for $mirror"
(cd "$apt" && apt-get "${options[@]}" download rust-src/sid && dpkg -x rust-src_*.deb "$directory/debian") ||
    skip "there is no package rust-src at $mirror"
library=$(echo "$directory"/debian/usr/src/rustc-*/library)
[ -e "$library/core/Cargo.toml" ] || skip "the package rust-src holds no library"
[ -d "$directory/nightly" ] || cp -al "$nightly" "$directory/nightly" 2>/dev/null || cp -a "$nightly" "$directory/nightly"
mkdir -p "$directory/nightly/${source%/*}"
rm -rf "$directory/nightly/$source"
ln -sfn "$library" "$directory/nightly/$source"
use "$directory/nightly"
