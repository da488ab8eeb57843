#!/usr/bin/env python3
"""What the official clients of several APIs see through a gateway, as a table for docs/clients.md.

usage: matrix.py GATEWAY_URL [MODEL]
       matrix.py --servers [HOST:PORT,...] [MODEL]

The second form starts the stack of ./build.sh itself, in front of these servers or of three simulated ones, with a recorder in
front of the gateway and one in front of each server: of every request, the body that the server got is held against the one that
the client sent, the answer that the client got against the one that the server sent, and a client that leaves must be gone at the
server within two seconds. What a server has no API for is told as its answer.

A client that is not installed has a row that says so. `pip install openai anthropic litellm langchain-openai langchain-anthropic
cohere httpx websockets`, and `npm install openai ai @ai-sdk/openai-compatible @ai-sdk/anthropic` in the folder that NODE_MODULES
names, install them all. Exits with 1 if a client that is there failed.
"""

import contextlib
import importlib
import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

from recorder import Recorder

DIST = pathlib.Path(__file__).resolve().parents[2] / "dist"

# Prices are of no interest here, and come from afar.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

PROMPT = "What is a cache?"
MESSAGES = [{"role": "user", "content": PROMPT}]
DOCUMENTS = ["a cache keeps things", "a fish swims"]

NODE = """
import OpenAI from "openai";
const [url, model, what] = process.argv.slice(1);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is a cache?" }];
if (what === "chat") {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 8 });
  if (!answer.choices[0].message.content) throw new Error(JSON.stringify(answer));
} else if (what === "stream") {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, max_tokens: 8, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  if (!text) throw new Error("an empty stream");
} else {
  const first = await client.responses.create({ model, input: "Hello", max_output_tokens: 8 });
  const again = await client.responses.create({ model, input: "Go on", max_output_tokens: 8, previous_response_id: first.id });
  if (!again.output_text) throw new Error(JSON.stringify(again));
}
"""

VERCEL = """
import { generateText, streamText } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createAnthropic } from "@ai-sdk/anthropic";
const [url, model, what] = process.argv.slice(1);
const of = what.startsWith("anthropic")
  ? createAnthropic({ baseURL: `${url}/v1`, apiKey: "none" })
  : createOpenAICompatible({ name: "gateway", baseURL: `${url}/v1`, apiKey: "none" });
const ask = { model: of(model), prompt: "What is a cache?", maxOutputTokens: 8, maxRetries: 0 };
if (what.endsWith("stream")) {
  let text = "";
  for await (const part of streamText(ask).textStream) text += part;
  if (!text) throw new Error("an empty stream");
} else {
  const { text } = await generateText(ask);
  if (!text) throw new Error("an empty answer");
}
"""


def openai_client(gateway):
    import openai

    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0, timeout=60)


def openai_chat(gateway, model):
    answer = openai_client(gateway).chat.completions.create(model=model, messages=MESSAGES, max_tokens=8)
    assert answer.choices[0].message.content, answer


def openai_stream(gateway, model):
    chunks = openai_client(gateway).chat.completions.create(model=model, messages=MESSAGES, max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def openai_responses(gateway, model):
    client = openai_client(gateway)
    first = client.responses.create(model=model, input=PROMPT, max_output_tokens=8)
    again = client.responses.create(model=model, input="Go on", max_output_tokens=8, previous_response_id=first.id)
    assert again.output_text and client.responses.retrieve(first.id).id == first.id, again


def openai_responses_stream(gateway, model):
    events = list(openai_client(gateway).responses.create(model=model, input=PROMPT, max_output_tokens=8, stream=True))
    assert events[0].type == "response.created" and events[-1].type == "response.completed", events


def openai_embeddings(gateway, model):
    answer = openai_client(gateway).embeddings.create(model=model, input=[PROMPT, "x"])
    assert len(answer.data) == 2 and answer.data[0].embedding != answer.data[1].embedding, answer


def openai_models(gateway, model):
    assert model in [it.id for it in openai_client(gateway).models.list()]


def anthropic_client(gateway):
    import anthropic

    return anthropic.Anthropic(base_url=gateway, api_key="none", max_retries=0, timeout=60)


def anthropic_messages(gateway, model):
    answer = anthropic_client(gateway).messages.create(model=model, max_tokens=8, messages=MESSAGES)
    assert answer.content[0].text and answer.stop_reason, answer


def anthropic_stream(gateway, model):
    with anthropic_client(gateway).messages.stream(model=model, max_tokens=8, messages=MESSAGES) as stream:
        assert stream.get_final_message().content[0].text


def anthropic_count(gateway, model):
    assert anthropic_client(gateway).messages.count_tokens(model=model, messages=MESSAGES).input_tokens > 0


def litellm_chat(gateway, model):
    import litellm

    litellm.suppress_debug_info = True
    more = {"model": f"openai/{model}", "api_base": f"{gateway}/v1", "api_key": "none", "max_tokens": 8}
    assert litellm.completion(messages=MESSAGES, **more).choices[0].message.content
    chunks = litellm.completion(messages=MESSAGES, stream=True, **more)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def litellm_anthropic(gateway, model):
    import litellm

    litellm.suppress_debug_info = True
    more = {"model": f"anthropic/{model}", "api_base": gateway, "api_key": "none", "max_tokens": 8}
    assert litellm.completion(messages=MESSAGES, **more).choices[0].message.content


def langchain_openai(gateway, model):
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=f"{gateway}/v1", api_key="none", model=model, max_tokens=8, max_retries=0)
    assert chat.invoke(PROMPT).content and "".join(part.content for part in chat.stream(PROMPT))


def langchain_anthropic(gateway, model):
    from langchain_anthropic import ChatAnthropic

    chat = ChatAnthropic(base_url=gateway, api_key="none", model=model, max_tokens=8, max_retries=0)
    assert chat.invoke(PROMPT).content


def cohere_rerank(gateway, model):
    import cohere

    client = cohere.ClientV2(api_key="none", base_url=gateway)
    answer = client.rerank(model=model, query="a cache", documents=DOCUMENTS)
    assert answer.results[0].index == 0, answer


def jina_rerank(gateway, model):
    # Jina's own client is this call.
    body = json.dumps({"model": model, "query": "a cache", "documents": DOCUMENTS, "top_n": 1}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer none"}
    request = urllib.request.Request(f"{gateway}/v1/rerank", body, headers)
    answer = json.load(urllib.request.urlopen(request, timeout=60))
    assert [it["index"] for it in answer["results"]] == [0], answer


def openai_leaves(gateway, model):
    """A client that has read enough of a stream."""
    chunks = openai_client(gateway).chat.completions.create(model=model, messages=MESSAGES, max_tokens=512, stream=True)
    next(iter(chunks))
    chunks.close()


def claude_code(gateway, model):
    """The requests of an agent's turn as Claude Code writes them: a count, then a stream with tools and cache marks."""
    import httpx

    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "user-agent": "claude-cli/2.0.0 (external, cli)",
        "x-api-key": "none",
        "x-app": "cli",
        "x-stainless-retry-count": "0",
    }
    tool = {"name": "Bash", "description": "Runs a command", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}
    mark = {"cache_control": {"type": "ephemeral"}}
    body = {
        "model": model,
        "max_tokens": 8,
        "system": [{"type": "text", "text": "You are a coding agent.", **mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT, **mark}]}],
        "tools": [tool],
        "metadata": {"user_id": "user_1_account__session_2"},
    }
    with httpx.Client(base_url=gateway, headers=headers, timeout=60) as client:
        count = {key: value for key, value in body.items() if key not in ("max_tokens", "metadata")}
        count = client.post("/v1/messages/count_tokens?beta=true", json=count)
        assert count.status_code == 200 and count.json()["input_tokens"] > 0, count.text
        with client.stream("POST", "/v1/messages?beta=true", json=body | {"stream": True}) as stream:
            events = [line[7:] for line in stream.iter_lines() if line.startswith("event: ")]
    assert events[0] == "message_start" and events[-1] == "message_stop", events


def codex(gateway, model):
    """A turn as Codex takes it: by a websocket where the engine has one, else, once refused, by a stream of events."""
    import httpx
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    headers = {"originator": "codex_cli_rs", "session_id": "0199a213-81c0-7800-8aa1-bbab2a035a53", "openai-beta": "responses_websockets=2026-02-04"}
    began = time.monotonic()
    try:
        url = gateway.replace("http", "ws", 1) + "/v1/responses"
        with connect(url, additional_headers=headers, open_timeout=10) as socket:
            socket.send(json.dumps({"type": "response.create", "response": {"model": model, "input": PROMPT}}))
            assert socket.recv(timeout=30)
            return
    except InvalidStatus as refused:
        assert 400 <= refused.response.status_code < 500, refused
    assert time.monotonic() - began < 5, "the refusal of a websocket took too long"
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": PROMPT}]}
    tool = {"type": "function", "name": "shell", "description": "Runs a command", "strict": False, "parameters": {"type": "object", "properties": {}}}
    body = {"model": model, "instructions": "You are a coding agent.", "input": [message], "tools": [tool], "tool_choice": "auto",
            "parallel_tool_calls": False, "store": False, "stream": True, "include": [], "prompt_cache_key": headers["session_id"]}
    with httpx.stream("POST", f"{gateway}/v1/responses", json=body, headers=headers | {"accept": "text/event-stream"}, timeout=60) as stream:
        events = [line[7:] for line in stream.iter_lines() if line.startswith("event: ")]
    assert events[0] == "response.created" and events[-1] in ("response.completed", "response.incomplete"), events


def open_webui(gateway, model):
    """The calls behind a chat in Open WebUI: the list of models, a stream, and the embeddings of a document."""
    import httpx

    headers = {"authorization": "Bearer none", "x-openwebui-user-id": "1", "x-openwebui-chat-id": "2"}
    with httpx.Client(base_url=f"{gateway}/v1", headers=headers, timeout=60) as client:
        assert model in [it["id"] for it in client.get("/models").json()["data"]]
        body = {"model": model, "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 8}
        with client.stream("POST", "/chat/completions", json=body) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert lines[-1] == "data: [DONE]" and json.loads(lines[-2][6:])["usage"]["completion_tokens"] > 0, lines[-2:]


def node(script, what):
    def run(gateway, model):
        folder = os.environ["NODE_MODULES"]
        command = ["node", "--input-type=module", "-e", script, gateway, model, what]
        told = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)
        assert told.returncode == 0, told.stderr.strip().splitlines()[-1:]

    return run


ROWS = [
    ("openai", "openai (Python)", "chat", openai_chat),
    ("openai", "openai (Python)", "chat, streamed", openai_stream),
    ("openai", "openai (Python)", "responses, with a follow-up", openai_responses),
    ("openai", "openai (Python)", "responses, streamed", openai_responses_stream),
    ("openai", "openai (Python)", "embeddings", openai_embeddings),
    ("openai", "openai (Python)", "models", openai_models),
    ("anthropic", "anthropic (Python)", "messages", anthropic_messages),
    ("anthropic", "anthropic (Python)", "messages, streamed", anthropic_stream),
    ("anthropic", "anthropic (Python)", "count_tokens", anthropic_count),
    ("litellm", "litellm", "chat, whole and streamed", litellm_chat),
    ("litellm", "litellm", "messages", litellm_anthropic),
    ("langchain_openai", "langchain-openai", "chat, whole and streamed", langchain_openai),
    ("langchain_anthropic", "langchain-anthropic", "messages", langchain_anthropic),
    ("cohere", "cohere", "rerank (v2)", cohere_rerank),
    ("json", "Jina's rerank", "rerank (v1)", jina_rerank),
    ("openai", "openai (Python)", "chat, streamed, left early", openai_leaves),
    ("httpx", "Claude Code's calls", "count_tokens, then messages streamed with tools", claude_code),
    ("websockets", "Codex' calls", "websocket, else responses streamed", codex),
    ("httpx", "Open WebUI's calls", "models, chat streamed with usage", open_webui),
    ("node:openai", "openai (Node)", "chat", node(NODE, "chat")),
    ("node:openai", "openai (Node)", "chat, streamed", node(NODE, "stream")),
    ("node:openai", "openai (Node)", "responses, with a follow-up", node(NODE, "responses")),
    ("node:ai", "Vercel AI SDK", "chat", node(VERCEL, "chat")),
    ("node:ai", "Vercel AI SDK", "chat, streamed", node(VERCEL, "chat stream")),
    ("node:ai", "Vercel AI SDK", "messages, streamed", node(VERCEL, "anthropic stream")),
]


def version(module):
    """Returns the version of a client; nothing for one that is not installed."""
    if module.startswith("node:"):
        folder = pathlib.Path(os.environ.get("NODE_MODULES", "."))
        package = folder / "node_modules" / module.removeprefix("node:") / "package.json"
        return json.loads(package.read_text())["version"] if package.exists() else None
    if module == "json":
        return "-"
    try:
        importlib.import_module(module)
    except ImportError:
        return None
    return importlib.metadata.version(module.replace("_", "-"))


class Recorded:
    """The stack between recorders."""

    def __init__(self, servers, started):
        self.behind = [Recorder(server, marks_requests=False) for server in servers]
        port = free_port()
        upstream = ",".join(it.address for it in self.behind)
        command = [DIST / "llm-picker-stack", "--port", str(port), "--upstream", upstream]
        started.enter_context(running(command, f"http://127.0.0.1:{port}/v1/models"))
        self.front = Recorder(f"127.0.0.1:{port}", marks_requests=True)
        self.seen = set()

    def compare(self):
        """Returns the statuses of the requests since the last look, and how many of them a server had. Raises where one side saw
        another thing than the other."""
        time.sleep(0.1)
        new = {mark: seen for mark, seen in self.front.passed.items() if mark not in self.seen}
        self.seen.update(new)
        statuses, compared = [], 0
        for mark, before in new.items():
            tries = [it.passed[mark] for it in self.behind if mark in it.passed]
            statuses.append(before.status)
            if not tries:
                continue
            behind = tries[-1]
            compared += 1
            same = before.request.hexdigest() == behind.request.hexdigest()
            assert same, f"the body of a request changed: {before.request_bytes} bytes became {behind.request_bytes}"
            if before.left_at is not None:
                assert behind.is_over.wait(2), "the server was not told that the client had left"
            else:
                assert before.sums() == behind.sums(), f"an answer changed: {behind.response_bytes} bytes became {before.response_bytes}"
        return statuses, compared


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(command, url):
    """Runs a program until the end, from when this URL answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
                answer.read()
                break
            assert process.poll() is None, f"{command[0]} ended"
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def simulated(started):
    """Starts three simulated servers. Returns their addresses."""
    servers = []
    for _ in range(3):
        port = free_port()
        started.enter_context(running([DIST / "vllm-sim", "--port", str(port)], f"http://127.0.0.1:{port}/health"))
        servers.append(f"127.0.0.1:{port}")
    return servers


def table(gateway, model, recorded):
    """Prints the table. Returns whether a client failed."""
    failed = False
    print("| client | version | API | outcome |\n|---|---|---|---|")
    for module, client, api, story in ROWS:
        found = version(module)
        outcome = "as from the engine"
        if found is None:
            outcome = "not installed"
        else:
            try:
                story(gateway, model)
                if recorded and recorded.compare()[1]:
                    outcome += ", to the byte"
            except Exception as error:  # whatever a client raises is its outcome
                words = " ".join(str(error).split())[:200] or type(error).__name__
                statuses, _ = recorded.compare() if recorded else ([], 0)
                if 404 in statuses:
                    outcome = "the engine has no such API"
                else:
                    failed, outcome = True, f"failed: {words}"
        print(f"| {client} | {found or '-'} | {api} | {outcome} |", flush=True)
    return failed


def main():
    if sys.argv[1] != "--servers":
        sys.exit(table(sys.argv[1], (sys.argv[2:] or ["tiny"])[0], None))
    servers = [it for it in "".join(sys.argv[2:3]).split(",") if it]
    with contextlib.ExitStack() as started:
        recorded = Recorded(servers or simulated(started), started)
        failed = table(f"http://{recorded.front.address}", (sys.argv[3:] or ["tiny"])[0], recorded)
    sys.exit(failed)


if __name__ == "__main__":
    main()
