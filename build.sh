#!/usr/bin/env bash
# Builds, runs and tests llm-picker. Needs rustup's Rust, python3 and curl; installs the rest under target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly LOGS=target/logs
readonly WASM_TARGET=wasm32-wasip1
readonly NODE_TARGET=wasm32-unknown-unknown

# shellcheck source=tools/install.sh
source tools/install.sh
# shellcheck source=tools/cluster.sh
source tools/cluster.sh
# shellcheck source=tools/release.sh
source tools/release.sh

usage() {
  cat <<'TEXT'
./build.sh [build]   dist/llm-picker.wasm, dist/llm-scraper, dist/vllm-sim, dist/llm-picker-stack
./build.sh run       builds, then runs the whole stack on loopback until Ctrl-C
    --port 8080                the gateway's port
    --gateways 1               Envoys on ports one behind the other, over the same pods and with one scraper
    --endpoints 3              simulated vLLM pods
    --workers 2                worker threads of each Envoy
    --config FILE              the plugin's configuration, YAML or JSON
    --upstream HOST:PORT,...   vLLM servers that already run, instead of simulated pods
    --hold stopIteration|bufferFilter
    --destination header|property|filterState
./build.sh test      builds, then runs every test: native, documentation, manifests, wasm in Node, page in Chromium, wasm in wasmtime, real Envoy
./build.sh test cluster      the stories over a real control plane alone, which `test` leaves out
./build.sh cluster   builds, then brings up a Kubernetes control plane with Istio and a gateway, as processes, until Ctrl-C
./build.sh bench [NAME]      builds, then measures; without NAME lists the benches, with a line on each
    --quick                    one short round: whether it works
    --servers HOST:PORT,...    vLLM servers that already run, of one model: for real-vllm
./build.sh image     builds, then writes dist/llm-picker-image.tar, an OCI image of the plugin, and what is in it (CycloneDX)
./build.sh release   writes dist/release/ from a tree without changes: plugin, images, static programs for amd64 and arm64, chart, parts
                     lists, checksums, and a signature where cosign and a key are there
./build.sh help      this text
TEXT
}

main() {
  local command=${1:-build}
  [[ $# -gt 0 ]] && shift
  case $command in
    build) no_arguments "$command" "$@"; build ;;
    run) build; exec dist/llm-picker-stack "$@" ;;
    bench) build_for_bench "${1:-}"; exec target/native/llm-picker-bench "$@" ;;
    test) known_tests "$@"; build; run_tests "$@" ;;
    cluster) no_arguments "$command" "$@"; build; build_cluster; run_cluster run ;;
    image) no_arguments "$command" "$@"; build; ensure_cyclonedx; step "dist/llm-picker-image.tar" build_image ;;
    release) no_arguments "$command" "$@"; release ;;
    help | -h | --help) usage ;;
    *) fail "unknown command '$command'. Allowed: build, run, test, cluster, bench, image, release, help" ;;
  esac
}

# --- what is printed: one line a step, with its seconds; the rest goes to target/logs/

fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}

no_arguments() {
  [[ $# -eq 1 ]] || fail "'$1' takes no arguments, found '$2'"
}

# step NAME COMMAND...: runs the command with its output in target/logs/NAME.log, which it shows the end of on failure.
step() {
  local name=$1 log=$LOGS/${1//[ \/]/-}.log started=$SECONDS
  shift
  mkdir -p "$LOGS"
  printf '%-28s' "$name"
  # A shell of its own and no `if`: in a condition, set -e would not hold inside the command.
  local status=0
  set +e
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  if [[ $status -eq 0 ]]; then
    printf '%4d s%s\n' $((SECONDS - started)) "$(counted "$log")"
  else
    printf ' FAILED after %d s\n' $((SECONDS - started))
    { panics "$log"; tail -n 40 "$log"; } >&2
    fail "'$name' failed; all of its output: $log"
  fi
}

# What the failed tests of a log say, without their backtraces, which may be longer than the end that is shown.
panics() {
  awk '
    /panicked at/ { left = 12 }
    /^stack backtrace:|^note: run with/ { left = 0 }
    left-- > 0 { print substr($0, 1, 600) }' "$1" | tail -n 60
}

# How many tests a log reports: nextest's summary, or the sum of cargo test's.
counted() {
  sed -E 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /Summary \[/ && match($0, /[0-9]+ passed/) { nextest = substr($0, RSTART, RLENGTH) }
    /^test result: ok/ { sum += $4; seen = 1 }
    /^(#|ℹ) pass [0-9]+/ { sum += $3; seen = 1 }
    END { if (nextest != "") printf "   %s", nextest; else if (seen) printf "   %d passed", sum }'
}

# --- what is built

build() {
  ensure_linker
  ensure_target "$WASM_TARGET"
  ensure_envoy
  step "dist/llm-picker.wasm" build_wasm
  step "dist/ native programs" build_natives
}

build_wasm() {
  wasm_cargo "$WASM_TARGET" "-C target-feature=+simd128" build --release -p filter
  # Always copied: its time says that it was built from the sources as they are.
  mkdir -p dist
  cp "target/$WASM_TARGET/release/filter.wasm" dist/llm-picker.wasm
}

build_natives() {
  cargo build --locked --profile native -p scraper -p sim -p stack
  mkdir -p dist
  local program
  for program in llm-scraper vllm-sim llm-picker-stack; do
    # Replaced, not overwritten: a running one keeps its file.
    cmp -s "target/native/$program" "dist/$program" || install -m 755 "target/native/$program" "dist/$program"
  done
}

# The replay runs in virtual time and without an Envoy; micro has none either.
build_for_bench() {
  case $1 in replay | adaptive | micro) ensure_linker ;; *) build ;; esac
  case $1 in
    peers | real-vllm) ensure_routers ;;
    micro) step "other prefix indexes" build_micro ;;
  esac
  step "the benches" build_bench
}

build_bench() {
  # What it links to is built before it: the same flags as build_wasm's.
  wasm_cargo "$WASM_TARGET" "-C target-feature=+simd128" build --release -p filter --example crossings --example headers
  cargo build --locked --profile native -p bench
}

# A package by itself, with a lock file of its own: what it is compared with is heavy.
build_micro() {
  cargo build --locked --release --manifest-path bench/micro/Cargo.toml --target-dir target/micro
}

# The same commit gives the same bytes. The programs' parts lists are written beside it; Debian's `skopeo copy
# oci-archive:dist/llm-picker-image.tar docker://REGISTRY/llm-picker:VERSION` pushes it.
build_image() {
  local host
  host=$(rustc -vV | awk '/^host: / { print $2 }')
  python3 envoy/image/oci.py dist/llm-picker.wasm "$(version)" dist/llm-picker-image.tar >dist/llm-picker-image.digest
  envoy/image/sbom.sh "$WASM_TARGET" filter llm-picker >dist/llm-picker.cdx.json
  envoy/image/sbom.sh "$host" scraper llm-scraper >dist/llm-scraper.cdx.json
}

# --- a control plane

build_cluster() {
  ensure_clients
  ensure_kube
  ensure_cluster
  # With the stories, as their features are those of all tests: by itself most of its dependencies would be built once more.
  step "the cluster and its stories" cargo test --locked --workspace --test it --no-run
}

# run_cluster NAME COMMAND...: becomes the command over a cluster of its own; without one the cluster stays until Ctrl-C.
run_cluster() {
  local folder=$CLUSTER/$1
  shift
  exec 9>"$folder.lock"
  flock --nonblock 9 || fail "a cluster runs already, with its files in $folder"
  rm -rf "$folder"
  mkdir -p "$folder"
  [[ $# -eq 0 ]] || set -- -- "$@"
  exec tools/cluster/inside.sh target/debug/llm-picker-cluster --folder "$folder" "$@"
}

# --- what is tested

known_tests() {
  [[ $# -eq 0 || ($# -eq 1 && $1 == cluster) ]] || fail "unknown tests '$*'. Allowed: cluster, or none for all but those"
}

run_tests() {
  if [[ ${1:-} == cluster ]]; then
    build_cluster
    step "test cluster" test_cluster
  else
    run_all_tests
  fi
}

run_all_tests() {
  ensure_clients
  ensure_kube
  ensure_cyclonedx
  ensure_older_envoys
  ensure_node
  ensure_chromium
  ensure_target "$NODE_TARGET"
  ensure_runner
  step "test native" test_native
  step "test documentation" cargo test --locked --workspace --doc
  step "test manifests and chart" test_deploy
  step "test wasm in Node" test_node
  step "test page in Chromium" node scraper/page/test.mjs
  step "test wasm in wasmtime" test_wasmtime
  step "test real Envoy" test_envoy
  printf 'passed: native, documentation, manifests and chart, wasm in Node, page in Chromium, wasm in wasmtime, real Envoy %s\n' "$ENVOY_VERSION"
}

has_nextest() {
  cargo nextest --version >/dev/null 2>&1
}

# Always the whole workspace: another choice of packages unites other features, and rebuilds their dependencies.
test_native() {
  if has_nextest; then
    cargo nextest run --locked --workspace -E 'not test(/^(mock|envoy|cluster)::/)'
  else
    cargo test --locked --workspace --lib --bins --test '*' -- --skip mock:: --skip envoy:: --skip cluster::
  fi
}

# In one process, which compiles the .wasm once: nextest would compile it for every test.
test_wasmtime() {
  cargo test --locked --workspace --test it -- mock::
}

# The stories, and the cases by which the mock is held to what Envoy does. Most of their time they wait, for an Envoy to
# start or a clock to run out, so more of them than cores run at once.
test_envoy() {
  export ENVOY=${LLM_PICKER_ENVOY:-$PWD/$VENV/bin/envoy}
  if has_nextest; then
    cargo nextest run --locked --workspace --run-ignored all --test-threads 4 \
      -E 'test(the_real_envoy_agrees) or (package(tests) and test(/^envoy::/))'
  else
    cargo test --locked --workspace --test agreement -- --ignored
    cargo test --locked --workspace --test it -- envoy::
  fi
}

# Most of its time a story waits. So several clusters, which know nothing of each other, share the stories.
test_cluster() {
  local program list=$CLUSTER/stories number status=0
  clusters=()
  program=$(cargo test --locked --workspace --offline --test it --no-run 2>&1 | sed -n 's|^ *Executable it/main.rs (\(.*\))$|\1|p')
  "$program" --list cluster:: | sed -n 's/: test$//p' >"$list"
  [[ -s $list ]] || fail "$program has no stories of a cluster"
  for number in $(seq "$CLUSTERS"); do
    run_cluster "test-$number" "$PWD/tools/cluster/stories.sh" "$PWD/$program" "$PWD/$list" &
    clusters+=($!)
  done
  # What runs in the background does not hear Ctrl-C.
  trap 'kill "${clusters[@]}" 2>/dev/null || true' EXIT
  for number in "${clusters[@]}"; do wait "$number" || status=1; done
  return "$status"
}

# Manifests, chart, rules, dashboards and image against the schemas and the tools of a cluster.
test_deploy() {
  "$KUBE/venv/bin/python" -m unittest discover --start-directory tests/deploy
}

test_node() {
  local runner=$PWD/$TOOLS/bin/wasm-bindgen-test-runner
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$runner \
    wasm_cargo "$NODE_TARGET" "-C target-feature=+simd128" test -p picker-core -p wire --test '*'
}

main "$@"
