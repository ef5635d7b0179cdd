#!/usr/bin/env bash
# Packs what is published, each with its licence texts, and builds each from its package alone: those
# that it needs of the others as packages too, though none is in a registry yet (Cargo 1.90). Nothing is
# downloaded: what the packages depend on is here once the workspace was built. Ends with 1 on a warning.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
published=(strongroom-core strongroom-derive strongroom strongroom-keys strongroom-doctor)
log=$(mktemp)
# Packages are built from a registry in the target directory, and Cargo keeps what it unpacked by that
# directory's name and the version: in the same place again, yesterday's core would be built.
mkdir -p "${CARGO_TARGET_DIR:-target}"
export CARGO_TARGET_DIR=$(mktemp -d "$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/package-XXXXXX")
trap 'rm -rf "$log" "$CARGO_TARGET_DIR"' EXIT

for package in "${published[@]}"; do
    files=$(cargo package --quiet --offline --locked --allow-dirty --list -p "$package" 2>/dev/null)
    for file in README.md LICENSE-MIT LICENSE-APACHE; do
        grep -qx "$file" <<<"$files" || { echo "the package $package has no $file" >&2; exit 1; }
    done
done
# What is not committed yet is packed as well: this runs before a commit too.
cargo package --offline --locked --allow-dirty "${published[@]/#/-p}" 2>&1 | tee "$log"
if grep -A3 '^warning' "$log" >&2; then
    echo "a package comes with a warning" >&2
    exit 1
fi
