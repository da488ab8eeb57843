#!/usr/bin/env bash
# Runs a command in namespaces of its own: network, mounts and processes. They end with this script, however it ends, and
# all processes in them. The network has a bridge, `pods`, on which the machine is 10.77.0.1.
set -euo pipefail

fail() {
  printf 'inside.sh: %s\n' "$*" >&2
  exit 1
}

[[ $(uname -s) == Linux ]] || fail "found $(uname -s); allowed: Linux, which has network namespaces"
for program in ip unshare chroot; do
  command -v "$program" >/dev/null || fail "$program is missing: please install iproute2, util-linux and coreutils"
done
arguments=(--net --mount --pid --fork --kill-child --mount-proc)
# Without root a user namespace makes this user root in it, where the system allows that.
[[ $(id -u) -eq 0 ]] || arguments+=(--user --map-root-user)
unshare "${arguments[@]}" true 2>/dev/null ||
  fail "found a user without the right to make network namespaces; allowed: root, or a system that allows user namespaces"

# The first process in the namespaces; what it waits for is the command.
# shellcheck disable=SC2016
readonly FIRST='
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip link set lo up
ip link add pods type bridge
ip addr add 10.77.0.1/16 dev pods
ip link set pods up
"$@"
exit $?
'

# In the background, where a signal is this script's to hear; standard input is kept.
unshare "${arguments[@]}" bash -euc "$FIRST" inside "$@" <&0 &
namespaces=$!
# The kernel kills all processes of the namespaces with their first, and that one with its parent.
trap 'kill -KILL "$namespaces" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
status=0
wait "$namespaces" || status=$?
exit "$status"
