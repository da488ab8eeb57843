#!/usr/bin/env python3
"""What the official clients of several APIs see through a gateway, as a table for docs/clients.md.

usage: matrix.py GATEWAY_URL [MODEL]

A client that is not installed has a row that says so. `pip install openai anthropic litellm langchain-openai langchain-anthropic
cohere`, and `npm install openai` in the folder that NODE_MODULES names, install them all. Exits with 1 if a client that is there
failed.
"""

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys

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
    import urllib.request

    body = json.dumps({"model": model, "query": "a cache", "documents": DOCUMENTS, "top_n": 1}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer none"}
    request = urllib.request.Request(f"{gateway}/v1/rerank", body, headers)
    answer = json.load(urllib.request.urlopen(request, timeout=60))
    assert [it["index"] for it in answer["results"]] == [0], answer


def node(what):
    def run(gateway, model):
        folder = os.environ["NODE_MODULES"]
        command = ["node", "--input-type=module", "-e", NODE, gateway, model, what]
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
    (None, "openai (Node)", "chat", node("chat")),
    (None, "openai (Node)", "chat, streamed", node("stream")),
    (None, "openai (Node)", "responses, with a follow-up", node("responses")),
]


def version(module):
    """Returns the version of a client; nothing for one that is not installed."""
    if module is None:
        package = os.path.join(os.environ.get("NODE_MODULES", "."), "node_modules/openai/package.json")
        if not os.path.exists(package):
            return None
        with open(package) as file:
            return json.load(file)["version"]
    if module == "json":
        return "-"
    try:
        importlib.import_module(module)
    except ImportError:
        return None
    return importlib.metadata.version(module.replace("_", "-"))


def main():
    gateway, model = sys.argv[1], (sys.argv[2:] or ["tiny"])[0]
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
            except Exception as error:  # whatever a client raises is its outcome
                failed, outcome = True, f"failed: {str(error)[:200] or type(error).__name__}"
        print(f"| {client} | {found or '-'} | {api} | {outcome} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
