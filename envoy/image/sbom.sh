#!/usr/bin/env bash
# sbom.sh TARGET PACKAGE PRODUCT: prints what a program is made of, as CycloneDX 1.5 JSON. Listed is what is linked into the
# package for the target: no build scripts' and no tests' dependencies. The same commit gives the same bytes on every machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PWD/target/tools/bin:$PATH
readonly TARGET=$1 PACKAGE=$2 PRODUCT=$3
readonly LIST=llm-picker-sbom

# cargo-cyclonedx writes a list beside the manifest of every crate of the workspace: one is wanted.
remove_lists() {
  find . -path ./target -prune -o -name "$LIST.json" -exec rm {} +
}
trap remove_lists EXIT

# With a fixed time there is no random serial number either.
SOURCE_DATE_EPOCH=0 cargo cyclonedx -qq --manifest-path "$PACKAGE/Cargo.toml" --target "$TARGET" \
  --format json --spec-version 1.5 --no-build-deps --override-filename "$LIST"

# Crates of the workspace are named by where they lie on this machine, and the product by its crate.
sed -e "s|file://$PWD/|file:./|g" -e "s|\"name\": \"$PACKAGE\"|\"name\": \"$PRODUCT\"|" "$PACKAGE/$LIST.json"
