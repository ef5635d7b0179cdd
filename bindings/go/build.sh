#!/usr/bin/env bash
# Makes what the Go packages are linked with, lib/strongroom.h and lib/libstrongroom.a, of ../c: once, and
# whenever that has changed. It takes Rust.
#
#     bindings/go/build.sh
set -euo pipefail
cd "$(dirname "$0")"

library=$(../c/build.sh)
mkdir -p lib
# cgo looks at the file's time: what is the same stays.
for file in include/strongroom.h lib/libstrongroom.a; do
    name=lib/$(basename "$file")
    # A path below the target directory may be relative to ../c.
    from=$(cd ../c && cd "$library" && pwd)/$file
    cmp -s "$from" "$name" || install -m 644 "$from" "$name"
done
printf '%s\n' "$PWD/lib"
