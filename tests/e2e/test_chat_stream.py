"""POST /v1/chat/completions, streamed: the order and the shape of every chunk."""

import json
import time

import pytest

from gateway import ANSWER, schema_format
from streams import check_grammar, chunks_of, content_of

PATH = "/v1/chat/completions"


@pytest.mark.parametrize("with_usage", [False, True])
def test_grammar(gateway, with_usage):
    more = {"stream_options": {"include_usage": True}} if with_usage else {}
    chunks = gateway.stream(PATH, gateway.chat_body(**more))
    check_grammar(chunks, choices=1, with_usage=with_usage)
    assert content_of(chunks) == ANSWER
    assert chunks[0]["id"].startswith("chatcmpl-")
    assert chunks[0]["model"] == gateway.model
    assert len(chunks) >= 5, "the text came in one piece"


@pytest.mark.parametrize("temperature", [0, 1])
def test_says_what_the_whole_answer_says(gateway, temperature):
    body = gateway.chat_body(temperature=temperature, max_tokens=16)
    whole = gateway.chat(**body)
    chunks = gateway.stream(PATH, {**body, "stream_options": {"include_usage": True}})
    assert content_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    # How much of the prompt an engine had in its cache is the one thing that differs between two runs.
    for usage in (chunks[-1]["usage"], whole["usage"]):
        usage["prompt_tokens_details"].pop("cached_tokens")
    assert chunks[-1]["usage"] == whole["usage"]


def test_official_client_accumulates_it(client, gateway):
    with client.chat.completions.stream(**gateway.chat_body(stream_options={"include_usage": True})) as stream:
        for _ in stream:
            pass
        reply = stream.get_final_completion()
    assert reply.choices[0].message.content == ANSWER
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (24, 7, 31)


def test_two_choices(gateway):
    body = gateway.chat_body(n=2, temperature=1, max_tokens=8, stream_options={"include_usage": True})
    chunks = gateway.stream(PATH, body)
    check_grammar(chunks, choices=2, with_usage=True)
    assert all(len(chunk["choices"]) <= 1 for chunk in chunks)
    assert content_of(chunks, 0) and content_of(chunks, 1)


def test_length(gateway):
    chunks = gateway.stream(PATH, gateway.chat_body(max_tokens=3))
    check_grammar(chunks, choices=1, with_usage=False)
    assert content_of(chunks) == "The capital of"
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stop", ["France", " Par", ["of France is"]])
def test_stop(gateway, stop):
    chunks = gateway.stream(PATH, gateway.chat_body(stop=stop))
    check_grammar(chunks, choices=1, with_usage=False)
    assert content_of(chunks) == ANSWER[: ANSWER.index(stop if isinstance(stop, str) else stop[0])]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_logprobs(gateway):
    body = gateway.chat_body(logprobs=True, top_logprobs=2)
    [whole] = gateway.chat(**body)["choices"]
    chunks = gateway.stream(PATH, body)
    check_grammar(chunks, choices=1, with_usage=False)
    streamed = [entry for chunk in chunks for entry in (chunk["choices"][0]["logprobs"] or {}).get("content") or []]
    assert [entry["token"] for entry in streamed] == [entry["token"] for entry in whole["logprobs"]["content"]]
    assert [len(entry["top_logprobs"]) for entry in streamed] == [2] * 7
    for mine, theirs in zip(streamed, whole["logprobs"]["content"], strict=True):
        assert mine["logprob"] == pytest.approx(theirs["logprob"], abs=1e-3)


def test_characters_of_many_tokens_stay_whole(gateway):
    schema = {
        "type": "object",
        "properties": {"text": {"enum": ["🦀日本é👩‍🚀"]}},
        "required": ["text"],
        "additionalProperties": False,
    }
    chunks = gateway.stream(PATH, gateway.chat_body(response_format=schema_format(schema), max_tokens=64))
    assert not any("\ufffd" in content_of([chunk]) for chunk in chunks)
    assert json.loads(content_of(chunks)) == {"text": "🦀日本é👩‍🚀"}


def test_text_comes_while_it_is_made(gateway):
    """The first text is there long before the last."""
    body = gateway.chat_body(messages=[{"role": "user", "content": "Write a very long story about a ship."}], max_tokens=48)
    arrived, received = [], b""
    began = time.monotonic()
    with gateway.http.stream("POST", PATH, json={**body, "stream": True}) as response:
        assert response.status_code == 200
        assert "no-cache" in response.headers["cache-control"]
        for piece in response.iter_raw():
            received += piece
            arrived.append(time.monotonic() - began)
    assert len(content_of(chunks_of(received))) > 48
    assert len(arrived) >= 10, f"everything came in {len(arrived)} pieces"
    assert arrived[len(arrived) // 4] < 0.7 * arrived[-1], f"the pieces came together at the end: {arrived}"
