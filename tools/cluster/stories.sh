#!/usr/bin/env bash
# stories.sh PROGRAM LIST: tells stories in the cluster that it is started in, one after the other: each is the next name of a list
# that other clusters take from too. What a story says is printed when it has ended, below a line with its time.
set -euo pipefail

readonly PROGRAM=$1 LIST=$2

# Takes the first line away and prints it; fails once there is none.
next() {
  (
    flock 8
    head -n 1 "$LIST"
    sed -i 1d "$LIST"
  ) 8>"$LIST.lock"
}

status=0
while story=$(next) && [[ -n $story ]]; do
  started=$SECONDS result=passed
  said=$("$PROGRAM" --exact "$story" --test-threads 1 2>&1) || result=FAILED status=1
  printf '== %s %s after %d s\n%s\n' "$story" "$result" $((SECONDS - started)) "$said"
done
exit "$status"
