#!/usr/bin/env bash
# Makes the C library: libstrongroom.so with its soname and the versions of its names, libstrongroom.a,
# strongroom.h and strongroom.pc.
#
#     bindings/c/build.sh [--prefix DIR]
#
# It installs below DIR, /usr/local if not said, or into $DESTDIR first; without a --prefix it only builds,
# into `strongroom` in the target directory. cargo-c (`cargo cinstall`) installs the same files under the same
# names, but for the versions, which it does not make; `check` compares where it is there.
set -euo pipefail
cd "$(dirname "$0")"

prefix=
[ "${1:-}" != --prefix ] || prefix=${2:?--prefix of what?}
target=${CARGO_TARGET_DIR:-target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# Before 1.0 each minor version is another interface: the soname names it.
soname=libstrongroom.so.${version%.*}

# The static library, and what it needs of the system.
said=$(cargo rustc --locked --release --lib --crate-type staticlib -- --print native-static-libs 2>&1) ||
    { printf '%s\n' "$said" >&2; exit 1; }
private=$(sed -n 's/.*native-static-libs: //p' <<<"$said" | head -1)
case $(uname) in
    Darwin)
        # Names have no versions there: two libraries' are told apart by where they are from.
        cargo rustc --locked --release --quiet --lib --crate-type cdylib -- \
            -C link-arg=-Wl,-install_name,"@rpath/libstrongroom.${version%.*}.dylib"
        shared=$target/release/libstrongroom_capi.dylib
        names=("libstrongroom.$version.dylib" "libstrongroom.${version%.*}.dylib" libstrongroom.dylib)
        ;;
    *)
        # Of the static one, because a cdylib has a version script of Rust's own: GNU's linker takes no second
        # one, and LLVM's takes no notice of it.
        shared=$target/release/libstrongroom.so
        # shellcheck disable=SC2086 # they are several
        "${CC:-cc}" -shared -o "$shared" -Wl,--whole-archive "$target/release/libstrongroom_capi.a" \
            -Wl,--no-whole-archive -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--as-needed \
            -Wl,--version-script=strongroom.map -Wl,-soname,"$soname" $private
        names=("libstrongroom.so.$version" "$soname" libstrongroom.so)
        ;;
esac

out=$target/strongroom
if [ -n "$prefix" ]; then out=${DESTDIR:-}$prefix; fi
mkdir -p "$out/lib/pkgconfig" "$out/include"
install -m 755 "$shared" "$out/lib/${names[0]}"
ln -sf "${names[0]}" "$out/lib/${names[1]}"
ln -sf "${names[0]}" "$out/lib/${names[2]}"
install -m 644 "$target/release/libstrongroom_capi.a" "$out/lib/libstrongroom.a"
install -m 644 strongroom.h "$out/include/strongroom.h"
cat >"$out/lib/pkgconfig/strongroom.pc" <<PC
prefix=${prefix:-$(cd "$out" && pwd)}
exec_prefix=\${prefix}
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: strongroom
Description: Many secrets under few locked pages, sealed at rest
Version: $version
Libs: -L\${libdir} -lstrongroom
Cflags: -I\${includedir}
Libs.private: $private
PC
printf '%s\n' "$out"
