# Makes a release: everything that is published of a version, under dist/release/. Sourced by build.sh, whose functions it uses.
# The same commit gives the same bytes on every machine with these compilers; SHA256SUMS tells.
# shellcheck shell=bash

readonly RELEASE=dist/release
# Zig is a C compiler and linker for all of them, with musl: the programs need nothing of the machine that they run on.
readonly ZIG=target/zig
readonly ZIG_PACKAGES=(ziglang==0.14.1 cargo-zigbuild==0.24.1)
readonly PROGRAMS=(llm-scraper llm-picker-stack vllm-sim)
declare -A RELEASE_TARGETS=([amd64]=x86_64-unknown-linux-musl [arm64]=aarch64-unknown-linux-musl)

# The one place of the version: everything else that names it is held to it by a test.
version() {
  awk -F'"' '/^version = / { print $2; exit }' Cargo.toml
}

release() {
  local changes
  changes=$(git status --porcelain)
  [[ -z $changes ]] || fail "a release is made of what is committed; found changes:"$'\n'"$changes"
  local architecture
  build_for_release
  rm -rf "$RELEASE"
  mkdir -p "$RELEASE"
  step "the plugin's image" build_image
  cp "dist/llm-picker.wasm" "$RELEASE/llm-picker-$(version).wasm"
  cp dist/llm-picker-image.tar "$RELEASE/llm-picker-image-$(version).tar"
  cp dist/llm-picker.cdx.json dist/llm-scraper.cdx.json "$RELEASE/"
  step "the scraper's image" release_scraper_image
  for architecture in amd64 arm64; do
    step "programs for $architecture, packed" release_programs "$architecture"
  done
  step "the chart" python3 tools/archive.py "$RELEASE/llm-picker-chart-$(version).tgz" llm-picker envoy/chart
  step "checksums" release_checksums
  release_signatures
  cat "$RELEASE/SHA256SUMS"
}

build_for_release() {
  local architecture
  ensure_linker
  ensure_target "$WASM_TARGET"
  ensure_cyclonedx
  ensure_zig
  step "dist/llm-picker.wasm" build_wasm
  for architecture in amd64 arm64; do
    ensure_target "${RELEASE_TARGETS[$architecture]}"
    step "programs for $architecture" build_static "${RELEASE_TARGETS[$architecture]}"
  done
}

ensure_zig() {
  [[ -f $ZIG/${ZIG_PACKAGES[0]} ]] || step "install ${ZIG_PACKAGES[0]}" install_zig
}

install_zig() {
  new_venv "$ZIG"
  pip_install "$ZIG" "${ZIG_PACKAGES[@]}"
  touch "$ZIG/${ZIG_PACKAGES[0]}"
}

build_static() {
  local sysroot
  sysroot=$(rustc --print sysroot)
  PATH=$PWD/$ZIG/bin:$PATH ZIG_GLOBAL_CACHE_DIR=$PWD/$ZIG/cache RUSTFLAGS=$(remap "$sysroot") \
    cargo zigbuild --locked --profile native --target "$1" -p scraper -p sim -p stack
}

static_program() {
  printf '%s' "target/${RELEASE_TARGETS[$1]}/native/$2"
}

release_scraper_image() {
  python3 envoy/image/scraper.py "$(version)" dist/llm-picker.wasm "$RELEASE/llm-scraper-image-$(version).tar" \
    "amd64=$(static_program amd64 llm-scraper)" "arm64=$(static_program arm64 llm-scraper)"
}

# One folder that runs by itself, but for Envoy. Completions and manual pages are the same for all architectures, so those of
# this machine's own programs will do.
release_programs() {
  local name files=() program shell made=target/release-texts
  name=llm-picker-$(version)-linux-$1
  rm -rf "$made"
  mkdir -p "$made"
  for program in llm-scraper llm-picker-stack; do
    "$(static_program "$(own_architecture)" "$program")" man >"$made/$program.1"
    for shell in bash zsh fish; do
      "$(static_program "$(own_architecture)" "$program")" completions "$shell" >"$made/$program.$shell"
    done
    files+=("$made/$program.1=man/$program.1")
    for shell in bash zsh fish; do files+=("$made/$program.$shell=completions/$program.$shell"); done
  done
  for program in "${PROGRAMS[@]}"; do files+=("$(static_program "$1" "$program")"); done
  python3 tools/archive.py "$RELEASE/$name.tar.gz" "$name" "${files[@]}" dist/llm-picker.wasm LICENSE README.md CHANGELOG.md SECURITY.md
}

own_architecture() {
  case $(uname -m) in aarch64 | arm64) printf arm64 ;; *) printf amd64 ;; esac
}

release_checksums() {
  (cd "$RELEASE" && sha256sum -- *.wasm *.tar *.tar.gz *.tgz *.json >SHA256SUMS)
}

# With cosign and a key (COSIGN_KEY), or an identity of the workflow that runs this. The checksums stand for all files.
release_signatures() {
  if ! command -v cosign >/dev/null; then
    printf 'not signed: cosign is not there\n'
  elif [[ -n ${COSIGN_KEY:-} ]]; then
    step "signature" cosign sign-blob --yes --key "$COSIGN_KEY" --bundle "$RELEASE/SHA256SUMS.bundle" "$RELEASE/SHA256SUMS"
  elif [[ -n ${ACTIONS_ID_TOKEN_REQUEST_URL:-} ]]; then
    step "signature" cosign sign-blob --yes --bundle "$RELEASE/SHA256SUMS.bundle" "$RELEASE/SHA256SUMS"
  else
    printf 'not signed: COSIGN_KEY names no key\n'
  fi
}
