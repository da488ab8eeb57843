#!/usr/bin/env python3
"""The official `anthropic` client against a gateway: what a user's program does, and what it sees.

usage: anthropic_client.py GATEWAY_URL [MODEL]

Exits with 1 and a traceback where the client library sees anything but an Anthropic server.
"""

import sys

import anthropic

MESSAGES = [{"role": "user", "content": "What is a cache?"}]


def client_of(gateway):
    return anthropic.Anthropic(base_url=gateway, api_key="none", max_retries=0, timeout=60)


def answers(client, model):
    message = client.messages.create(model=model, max_tokens=8, messages=MESSAGES)
    assert message.content[0].text, message
    assert message.model == model, message
    assert message.usage.output_tokens > 0, message.usage


def streams(client, model):
    with client.messages.stream(model=model, max_tokens=8, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text, final
    assert final.model == model, final
    assert final.usage.output_tokens > 0, final.usage


def counts_tokens(client, model):
    assert client.messages.count_tokens(model=model, messages=MESSAGES).input_tokens > 0


def errors_are_the_librarys_own(client, model):
    try:
        client.messages.create(model=model, max_tokens=8, messages=[])
    except anthropic.BadRequestError as error:
        assert error.body["error"]["type"] == "invalid_request_error", error.body
        assert "must have valid messages field" in error.body["error"]["message"], error.body
    else:
        raise AssertionError("a request without messages was served")


def main():
    gateway, model = sys.argv[1], (sys.argv[2:] or ["tiny"])[0]
    client = client_of(gateway)
    for story in (answers, streams, counts_tokens, errors_are_the_librarys_own):
        story(client, model)
        print(f"ok {story.__name__}")


if __name__ == "__main__":
    main()
