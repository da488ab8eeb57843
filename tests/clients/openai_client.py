#!/usr/bin/env python3
"""The official `openai` client against a gateway: what a user's program does, and what it sees.

usage: openai_client.py GATEWAY_URL [MODEL]

Exits with 1 and a traceback where the client library sees anything but an OpenAI server.
"""

import sys

import openai

LONG = "You are a patient teacher who explains one thing at a time. " * 40


def client_of(gateway):
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0, timeout=60)


def chat(client, model, **more):
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": "What is a cache?"}]
    return client.chat.completions.with_raw_response.create(
        model=model, messages=messages, max_tokens=8, **more
    )


def decision(raw):
    """The decision header as a dict; the stack that the tests start has it on."""
    text = raw.headers.get("x-llm-picker-decision")
    assert text, f"no decision header in {dict(raw.headers)}"
    return dict(field.split("=", 1) for field in text.split(";"))


def answers_and_stays(client, model):
    first = chat(client, model)
    body = first.parse()
    assert body.choices[0].message.content, body
    assert body.usage.completion_tokens == 8, body.usage
    endpoint = decision(first)["endpoint"]

    again = chat(client, model)
    assert decision(again)["endpoint"] == endpoint, (decision(again), endpoint)
    assert float(decision(again)["prefix-hit"]) > 0.9, decision(again)
    cached = again.parse().usage.prompt_tokens_details.cached_tokens
    assert cached > 0, again.parse().usage


def streams(client, model):
    raw = chat(client, model, stream=True, stream_options={"include_usage": True})
    chunks = list(raw.parse())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text, chunks
    assert chunks[-1].usage.completion_tokens == 8, chunks[-1]


def completes_plain_text(client, model):
    body = client.completions.create(model=model, prompt=LONG, max_tokens=4)
    assert body.choices[0].text, body


def errors_are_the_librarys_own(client, model):
    try:
        client.chat.completions.create(model="", messages=[], extra_body={"messages": None})
    except openai.BadRequestError as error:
        assert error.body["message"], error.body
        assert error.body["type"] == "invalid_request_error", error.body
    else:
        raise AssertionError("a request without messages was served")
    try:
        client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "?"}])
    except openai.NotFoundError:
        pass
    else:
        raise AssertionError("an unknown model was served")


def lists_models(client, model):
    assert model in [found.id for found in client.models.list()]


def main():
    gateway, model = sys.argv[1], (sys.argv[2:] or ["tiny"])[0]
    client = client_of(gateway)
    for story in (
        answers_and_stays,
        streams,
        completes_plain_text,
        errors_are_the_librarys_own,
        lists_models,
    ):
        story(client, model)
        print(f"ok {story.__name__}")


if __name__ == "__main__":
    main()
