"""with_raw_response and with_streaming_response: the headers of every kind of answer."""

import re

import openai
import pytest

from gateway import CHAT, EMBEDDING, REQUEST_ID, say

ENGINE_HEADERS = ("x-request-id", "openai-processing-ms", "openai-version")
LIMIT_HEADERS = [f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")]
DURATION = re.compile(r"(\d+m)?(\d+(\.\d+)?s)?|\d+ms")


def check_headers(headers):
    assert REQUEST_ID.fullmatch(headers["x-request-id"])
    assert int(headers["openai-processing-ms"]) >= 0
    assert headers["openai-version"] == "2020-10-01"
    limits = {name: headers.get(name) for name in LIMIT_HEADERS}
    assert all(limits.values()), limits
    for of in ("requests", "tokens"):
        assert int(limits[f"x-ratelimit-limit-{of}"]) >= int(limits[f"x-ratelimit-remaining-{of}"]) >= 0
        assert DURATION.fullmatch(limits[f"x-ratelimit-reset-{of}"])


def test_chat(client):
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=say("Hello"))
    check_headers(raw.headers)
    assert raw.headers["content-type"] == "application/json"
    assert (raw.status_code, raw.retries_taken, raw.method) == (200, 0, "POST")
    completion = raw.parse()
    assert completion.choices[0].message.content == "Hello"
    assert completion._request_id == raw.request_id == raw.headers["x-request-id"]


def test_chat_stream(client):
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=say("one two"), stream=True)
    check_headers(raw.headers)
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert raw.headers["cache-control"] == "no-cache"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse()) == "one two"


def test_parse(client):
    raw = client.chat.completions.with_raw_response.parse(model=CHAT, messages=say("Hello"))
    check_headers(raw.headers)
    assert raw.parse().choices[0].message.content == "Hello"


def test_completions(client):
    raw = client.completions.with_raw_response.create(model=CHAT, prompt="[[say:Hello]]")
    check_headers(raw.headers)
    assert raw.headers["openai-model"] == CHAT
    assert raw.parse().choices[0].text == "Hello"


def test_completions_stream(client):
    raw = client.completions.with_raw_response.create(model=CHAT, prompt="[[say:Hello]]", stream=True)
    check_headers(raw.headers)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert "".join(choice.text for chunk in raw.parse() for choice in chunk.choices) == "Hello"


def test_embeddings(client):
    raw = client.embeddings.with_raw_response.create(model=EMBEDDING, input="Hello")
    check_headers(raw.headers)
    assert raw.headers["openai-model"] == EMBEDDING
    assert len(raw.parse().data[0].embedding) == 384


def test_models(client):
    raw = client.models.with_raw_response.list()
    for name in ENGINE_HEADERS:
        assert raw.headers[name]
    assert CHAT in [model.id for model in raw.parse()]


def test_request_ids_differ(client):
    ids = [client.models.with_raw_response.list().request_id for _ in range(3)]
    assert len(set(ids)) == 3


def test_streaming_response(client):
    asked = {"model": CHAT, "messages": say("one two"), "stream": True}
    with client.chat.completions.with_streaming_response.create(**asked) as response:
        check_headers(response.headers)
        lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


def test_whole_answer_read_piece_by_piece(client):
    with client.chat.completions.with_streaming_response.create(model=CHAT, messages=say("Hello")) as response:
        assert response.parse().choices[0].message.content == "Hello"
        assert REQUEST_ID.fullmatch(response.request_id)


def test_errors_have_the_headers_too(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.with_raw_response.create(model=CHAT, messages=say("x"), temperature=9)
    headers = caught.value.response.headers
    assert headers["content-type"] == "application/json"
    for name in ENGINE_HEADERS:
        assert headers[name]
    assert caught.value.request_id == headers["x-request-id"]
