#!/usr/bin/env python3
"""Clients that send a body above the gateway's limit: each reads the 413, in the words of its API.

usage: large_uploads.py GATEWAY_URL BYTES

Exits with 1 and a traceback where a client sees a closed connection instead. Needs curl and node.
"""

import http.client
import json
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import anthropic
import httpx2
import openai

NODE = """
import { readFileSync } from "node:fs";
const [url, file] = process.argv.slice(1);
const body = readFileSync(file);
const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
console.log(`${answer.status} ${await answer.text()}`);
"""


def chat(size):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a" * size}]}
    return json.dumps(body).encode()


def assert_told(status, text):
    error = json.loads(text)["error"]
    assert (status, error["code"]) == (413, 413), (status, text)
    assert "request body is larger than" in error["message"], text


def http_client(gateway, size):
    for more in ({}, {"transfer-encoding": "chunked"}):
        connection = http.client.HTTPConnection(urlsplit(gateway).netloc, timeout=60)
        body = chat(size)
        for _ in range(2):
            # The connection is as good as before.
            parts = iter([body[: size // 2], body[size // 2 :]]) if more else body
            headers = {"content-type": "application/json", **more}
            connection.request("POST", "/v1/chat/completions", parts, headers, encode_chunked=bool(more))
            answer = connection.getresponse()
            assert_told(answer.status, answer.read())


def httpx_client(gateway, size):
    answer = httpx2.post(f"{gateway}/v1/chat/completions", content=chat(size), timeout=60)
    assert_told(answer.status_code, answer.text)


def openai_client(gateway, size):
    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0, timeout=60)
    try:
        client.responses.create(model="tiny", input="a" * size)
    except openai.APIStatusError as error:
        assert error.status_code == 413, error
        assert "request body is larger than" in error.message, error
    else:
        raise AssertionError("served")


def anthropic_client(gateway, size):
    client = anthropic.Anthropic(base_url=gateway, api_key="none", max_retries=0, timeout=60)
    try:
        client.messages.create(model="tiny", max_tokens=8, messages=[{"role": "user", "content": "a" * size}])
    except anthropic.APIStatusError as error:
        assert error.status_code == 413, error
        assert error.body["error"]["type"] == "request_too_large", error.body
    else:
        raise AssertionError("served")


def curl(gateway, size):
    with tempfile.NamedTemporaryFile() as file:
        file.write(chat(size))
        file.flush()
        for protocol in ("--http1.1", "--http2-prior-knowledge"):
            command = ["curl", "-sS", "--max-time", "60", protocol, "-w", "\n%{http_code}"]
            command += ["-H", "content-type: application/json", "--data-binary", f"@{file.name}"]
            told = subprocess.run([*command, f"{gateway}/v1/chat/completions"], capture_output=True, text=True)
            assert told.returncode == 0, (protocol, told)
            text, status = told.stdout.rsplit("\n", 1)
            assert_told(int(status), text)


def node_fetch(gateway, size):
    with tempfile.NamedTemporaryFile() as file:
        file.write(chat(size))
        file.flush()
        command = ["node", "--input-type=module", "-e", NODE]
        told = subprocess.run([*command, f"{gateway}/v1/chat/completions", file.name], capture_output=True, text=True)
        assert told.returncode == 0, told
        status, text = told.stdout.split(" ", 1)
        assert_told(int(status), text)


def main():
    gateway, size = sys.argv[1], int(sys.argv[2])
    for story in (http_client, httpx_client, openai_client, anthropic_client, curl, node_fetch):
        story(gateway, size)
        print(f"ok {story.__name__}")


if __name__ == "__main__":
    main()
