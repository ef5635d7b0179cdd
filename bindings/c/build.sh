#!/usr/bin/env bash
# Makes the C library: libstrongroom.so with its soname, libstrongroom.a, strongroom.h and strongroom.pc.
#
#     bindings/c/build.sh [--prefix DIR]
#
# It installs below DIR, /usr/local if not said, or into $DESTDIR first; without a --prefix it only builds,
# into `strongroom` in the target directory. cargo-c does the same (`cargo cinstall`), where it is there.
set -euo pipefail
cd "$(dirname "$0")"

prefix=
[ "${1:-}" != --prefix ] || prefix=${2:?--prefix of what?}
target=${CARGO_TARGET_DIR:-target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# Before 1.0 each minor version is another interface: the soname names it.
soname=libstrongroom.so.${version%.*}

# Rust exports the functions of the header and nothing else from a cdylib, by a version script of its own, so
# that symbols need none of ours; symbol versions would be more than cargo-c makes too.
case $(uname) in
    Darwin)
        cargo rustc --locked --release --quiet --lib --crate-type cdylib -- \
            -C link-arg=-Wl,-install_name,"@rpath/libstrongroom.${version%.*}.dylib"
        shared=libstrongroom_capi.dylib names=("libstrongroom.$version.dylib" "libstrongroom.${version%.*}.dylib" libstrongroom.dylib)
        ;;
    *)
        cargo rustc --locked --release --quiet --lib --crate-type cdylib -- \
            -C link-arg=-Wl,-soname,"$soname"
        shared=libstrongroom_capi.so names=("libstrongroom.so.$version" "$soname" libstrongroom.so)
        ;;
esac
cargo rustc --locked --release --quiet --lib --crate-type staticlib
private=$(cargo rustc --locked --release --quiet --lib --crate-type staticlib -- --print native-static-libs 2>&1 |
    sed -n 's/.*native-static-libs: //p' | head -1)

out=$target/strongroom
if [ -n "$prefix" ]; then out=${DESTDIR:-}$prefix; fi
mkdir -p "$out/lib/pkgconfig" "$out/include"
install -m 755 "$target/release/$shared" "$out/lib/${names[0]}"
ln -sf "${names[0]}" "$out/lib/${names[1]}"
ln -sf "${names[1]}" "$out/lib/${names[2]}"
install -m 644 "$target/release/libstrongroom_capi.a" "$out/lib/libstrongroom.a"
install -m 644 strongroom.h "$out/include/strongroom.h"
cat >"$out/lib/pkgconfig/strongroom.pc" <<PC
prefix=${prefix:-$(cd "$out" && pwd)}
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: strongroom
Description: Many secrets under few locked pages, sealed at rest
Version: $version
Libs: -L\${libdir} -lstrongroom
Libs.private: ${private:--lpthread -ldl -lm}
Cflags: -I\${includedir}
PC
printf '%s\n' "$out"
