#!/usr/bin/env python3
"""Makes the files of this folder from the published traces: shrink.py mooncake|azure < TRACE > FILE"""
import json
import sys
from datetime import datetime

kind, before, highest = sys.argv[1], 0, -1
for line in sys.stdin:
    if kind == "azure":
        if line.startswith("TIMESTAMP"):
            continue
        at, prompt, answer = line.strip().split(",")
        at = round(datetime.fromisoformat(at[:26]).timestamp() * 1000)
        before = before or at
        seen = []
    else:
        row = json.loads(line)
        at, prompt, answer = row["timestamp"], row["input_length"], row["output_length"]
        seen = [block for block in row["hash_ids"] if block <= highest]
        # Blocks that no earlier request had are numbered on, so they need not be written.
        new = row["hash_ids"][len(seen) :]
        assert new == list(range(highest + 1, highest + 1 + len(new)))
        highest = max(highest, *row["hash_ids"])
    runs = []
    for block in seen:
        if runs and block == runs[-1][1] + 1:
            runs[-1][1] = block
        else:
            runs.append([block, block])
    runs = "".join(f" {a}" if a == b else f" {a}-{b}" for a, b in runs)
    print(f"{at - before} {prompt} {answer}{runs}")
    before = at
