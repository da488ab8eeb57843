#!/usr/bin/env python3
"""Does the README's "Ten things to try", block by block as it stands there, and says what came and how long each took.

Runs what ./build.sh has built. A block of `./build.sh run` is started in the background and goes on until the next one on its port;
other blocks are given to bash in a folder of their own. A block of text behind it says what is to be seen: each of its lines must come,
whatever stands for `…`, a number or an address. Ports, pids and folders of the README's example are replaced by those of this run.

    stranger.py [--document README.md] [--port 8080] [--keep FOLDER]
"""

import argparse
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^### (\d+\. .*)$")
FENCE = re.compile(r"^```(\w*)$")
# Seconds for a stack to be ready, and for a block to end.
START_MAX, BLOCK_MAX = 60, 60
# A row of the table that a stack prints, and the lines below it.
ROW = re.compile(r"^  (envoy|scraper|pod \d+) +pid (\S+) +http://(\S+)", re.MULTILINE)
LINE = re.compile(r"^(logs|page|ready): +(\S+)", re.MULTILINE)


def blocks(text):
    """Heading, language and content of each fenced block below the ten headings."""
    heading, language, content = None, None, []
    for line in text.splitlines():
        fence = FENCE.match(line)
        if language is None and (found := HEADING.match(line)):
            heading = found[1]
        elif language is None and line.startswith("## "):
            heading = None
        elif fence and language is None:
            language, content = fence[1], []
        elif fence:
            if heading:
                yield heading, language, "\n".join(content)
            language = None
        elif language is not None:
            content.append(line)


def told(text):
    """What a stack's output names: pids and addresses by row, and the folder."""
    rows = {name: (pid, address) for name, pid, address in ROW.findall(text)}
    return rows, dict(LINE.findall(text))


def pattern(line):
    """What a line of expected output stands for: `…` is anything, and a number, an address or a scratch folder any other."""

    def stands_for(part):
        if part == "…":
            return ".*"
        if part.startswith("/tmp/"):
            return r"\S+"
        if part[0].isdigit():
            return r"[0-9][0-9.:]*"
        return r"\s+" if part.isspace() else re.escape(part)

    return re.compile("".join(map(stands_for, filter(None, re.split(r"(…|/tmp/\S+|\d[\d.:]*|\s+)", line.strip())))))


class Stack:
    """A stack that runs in the background."""

    def __init__(self, words, folder, port):
        self.output = open(folder / f"stack-{port}.log", "w+")
        self.process = subprocess.Popen(
            [ROOT / "dist/llm-picker-stack", *words], cwd=folder, stdout=self.output, stderr=self.output
        )
        self.text = ""
        deadline = time.monotonic() + START_MAX
        while "ready:" not in self.text:
            time.sleep(0.05)
            self.text = pathlib.Path(self.output.name).read_text()
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the stack did not start:\n{self.text}")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self.output.close()


class Stranger:
    def __init__(self, text, folder, port):
        self.text, self.folder, self.port = text, folder, port
        self.stacks = {}
        # By what stands in the README.
        example = next(content for _, language, content in blocks(text) if language == "text")
        self.example, self.lines = told(example)
        self.seen = ""

    def ports(self, text):
        """The text with this run's ports in the place of 8080 and 8090."""
        return re.sub(r"\b80([89])0\b", lambda found: str(self.port + 10 * (int(found[1]) - 8)), text)

    def current(self, text):
        """The text with what this run's first stack has in the place of what the README's has."""
        stack = self.stacks.get(self.port)
        if stack:
            rows, lines = told(stack.text)
            for name, (pid, address) in self.example.items():
                if name in rows:
                    text = text.replace(address, rows[name][1])
                    text = re.sub(rf"\b{pid}\b", rows[name][0], text)
            text = text.replace(self.lines["logs"], lines["logs"])
        return self.ports(text)

    def run(self, block):
        words = shlex.split(self.current(block))
        if words[:2] == ["./build.sh", "run"]:
            return self.start(words[2:])
        script = self.current(block).replace("dist/llm-", f"{ROOT}/dist/llm-")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder, capture_output=True, text=True, timeout=BLOCK_MAX, check=False,
        )
        self.seen = done.stdout + done.stderr
        if done.returncode:
            raise SystemExit(f"exit code {done.returncode}:\n{script}\n{self.seen}")

    def start(self, words):
        named = words[words.index("--port") + 1] if "--port" in words else None
        port = int(named) if named else self.port
        words = words if named else ["--port", str(port), *words]
        if port in self.stacks:
            self.stacks.pop(port).stop()
            wait_for_port(port)
        self.stacks[port] = Stack(words, self.folder, port)
        self.seen = self.stacks[port].text

    def expect(self, block):
        for line in filter(None, map(str.strip, block.splitlines())):
            if not any(pattern(line).search(seen) for seen in self.seen.splitlines()):
                raise SystemExit(f"the README says that this comes:\n  {line}\nand this came:\n{self.seen}")

    def stop(self):
        for stack in self.stacks.values():
            stack.stop()


def tasks(text, folder, port):
    """Does each task. Yields its heading, its seconds and what was seen."""
    stranger = Stranger(text, folder, port)
    try:
        heading, started, seen = None, time.monotonic(), []
        for of, language, content in [*blocks(text), (None, "", "")]:
            if heading not in (None, of):
                yield heading, time.monotonic() - started, "\n".join(seen)
                started, seen = time.monotonic(), []
            heading = of
            if language == "sh":
                stranger.run(content)
                seen.append(stranger.seen)
            elif language == "text":
                stranger.expect(content)
    finally:
        stranger.stop()


def wait_for_port(port):
    """Waits until an Envoy that was told to end has left its port: on a busy machine that takes a moment."""
    deadline = time.monotonic() + START_MAX
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)


def free_port():
    """A port with the one ten above it free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 10))
                return port
            except (OSError, OverflowError):
                continue


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--document", default=ROOT / "README.md", type=pathlib.Path)
    parser.add_argument("--port", type=int, help="of the first gateway; the canary has the one ten above it; by default free ones")
    parser.add_argument("--keep", type=pathlib.Path, help="folder to work in and to leave what was seen in")
    wanted = parser.parse_args()
    text = wanted.document.read_text()
    with tempfile.TemporaryDirectory() as scratch:
        folder = wanted.keep or pathlib.Path(scratch)
        os.makedirs(folder, exist_ok=True)
        done = 0
        for heading, seconds, seen in tasks(text, folder, wanted.port or free_port()):
            print(f"{seconds:5.1f} s  {heading}", flush=True)
            (folder / f"{heading.split('.')[0]}.txt").write_text(seen)
            done += 1
        if done != 10:
            raise SystemExit(f"found {done} tasks; there are to be 10")


if __name__ == "__main__":
    sys.exit(main())
