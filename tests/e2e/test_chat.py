"""POST /v1/chat/completions, not streamed."""

import json
import re
import time

import pytest

from gateway import ANSWER, MESSAGES, schema_format

USAGE_DETAILS = {
    "prompt_tokens_details": {"cached_tokens", "audio_tokens"},
    "completion_tokens_details": {
        "reasoning_tokens",
        "audio_tokens",
        "accepted_prediction_tokens",
        "rejected_prediction_tokens",
    },
}


def test_real_answer(client, gateway):
    reply = client.chat.completions.create(model=gateway.model, messages=MESSAGES, temperature=0, max_tokens=24)
    assert reply.choices[0].message.content == ANSWER
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == gateway.model


def test_shape(gateway):
    response = gateway.post("/v1/chat/completions", gateway.chat_body())
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert response.headers["x-request-id"]
    reply = response.json()
    assert list(reply) == ["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"]
    assert re.fullmatch(r"chatcmpl-[A-Za-z0-9]+", reply["id"])
    assert reply["object"] == "chat.completion"
    assert isinstance(reply["created"], int) and abs(reply["created"] - time.time()) < 60
    assert reply["service_tier"] == "default"
    assert reply["system_fingerprint"] is None or isinstance(reply["system_fingerprint"], str)
    [choice] = reply["choices"]
    assert choice == {
        "index": 0,
        # No `tool_calls`, not even an empty one.
        "message": {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_usage(gateway):
    usage = gateway.chat()["usage"]
    assert usage.keys() >= {"prompt_tokens", "completion_tokens", "total_tokens"} | USAGE_DETAILS.keys()
    for details, keys in USAGE_DETAILS.items():
        assert usage[details].keys() >= keys
        assert all(isinstance(usage[details][key], int) for key in keys)
    # What OpenAI's own counting gives: 3 + (3 + 1 + 6) + (3 + 1 + 7), and 7 for the answer.
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (24, 7, 31)
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


def test_two_answers_have_two_ids(gateway):
    assert gateway.chat()["id"] != gateway.chat()["id"]


def test_two_choices(client, gateway):
    reply = client.chat.completions.create(**gateway.chat_body(n=2, temperature=1))
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert all(choice.message.content for choice in reply.choices)
    # The prompt is counted once, the answers both.
    assert reply.usage.prompt_tokens == 24
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_length(gateway, limit):
    body = gateway.chat_body()
    del body["max_tokens"]
    response = gateway.post("/v1/chat/completions", {**body, limit: 3})
    reply = response.json()
    assert response.status_code == 200, reply
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["choices"][0]["message"]["content"] == "The capital of"
    assert reply["usage"]["completion_tokens"] == 3


# The second ends in the middle of a token, the third and fourth run over several, the last has three that never come.
@pytest.mark.parametrize("stop", ["France", " Par", "capital of Fr", ["of France is"], ["x1", "Fra", "x2", "x3"]])
def test_stop(gateway, stop):
    [choice] = gateway.chat(stop=stop)["choices"]
    found = [ANSWER.index(text) for text in ([stop] if isinstance(stop, str) else stop) if text in ANSWER]
    assert choice["message"]["content"] == ANSWER[: found[0]]
    assert choice["finish_reason"] == "stop"


def test_stop_that_only_begins(gateway):
    """What was held back as the possible start of a stop text must come out in the end."""
    [choice] = gateway.chat(stop=["Paris. It"])["choices"]
    assert choice["message"]["content"] == ANSWER


def test_logprobs(client, gateway):
    reply = client.chat.completions.create(**gateway.chat_body(logprobs=True, top_logprobs=3))
    logprobs = reply.choices[0].logprobs
    assert logprobs.refusal is None
    assert "".join(entry.token for entry in logprobs.content) == ANSWER
    assert b"".join(bytes(entry.bytes) for entry in logprobs.content) == ANSWER.encode()
    for entry in logprobs.content:
        assert entry.token and entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        # At temperature 0 the likeliest token is the one taken.
        assert entry.top_logprobs[0].token == entry.token
        assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob, abs=1e-3)
        assert sorted((top.logprob for top in entry.top_logprobs), reverse=True) == [top.logprob for top in entry.top_logprobs]


def test_logprobs_without_alternatives(gateway):
    [choice] = gateway.chat(logprobs=True)["choices"]
    assert len(choice["logprobs"]["content"]) == 7
    for entry in choice["logprobs"]["content"]:
        assert entry.keys() == {"token", "logprob", "bytes", "top_logprobs"}
        assert entry["top_logprobs"] == []


def test_logit_bias(gateway):
    """504 is "The", the first token of the answer."""
    assert not gateway.chat(logit_bias={"504": -100})["choices"][0]["message"]["content"].startswith("The")


def test_seed_repeats(gateway):
    first, second = (gateway.chat(temperature=1, seed=11, max_tokens=12) for _ in range(2))
    assert first["choices"] == second["choices"]


def test_developer_is_rendered_as_system(gateway):
    developer = [{**MESSAGES[0], "role": "developer"}, MESSAGES[1]]
    assert gateway.chat(messages=developer)["choices"] == gateway.chat()["choices"]


def test_content_parts_are_their_text(gateway):
    parts = [{"role": message["role"], "content": [{"type": "text", "text": message["content"]}]} for message in MESSAGES]
    assert gateway.chat(messages=parts)["choices"] == gateway.chat()["choices"]


def test_history_reaches_the_model(gateway):
    history = [
        *MESSAGES,
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "And of Germany?"},
    ]
    reply = gateway.chat(messages=history)
    assert reply["choices"][0]["message"]["content"] == "The capital of Germany is Berlin."
    assert reply["usage"]["prompt_tokens"] == 24 + (3 + 1 + 7) + (3 + 1 + 4)


def test_null_is_like_absent(gateway):
    names = "stop n top_p presence_penalty frequency_penalty logit_bias logprobs top_logprobs tools tool_choice user "
    names += "response_format stream stream_options max_completion_tokens metadata service_tier parallel_tool_calls"
    assert gateway.chat(**dict.fromkeys(names.split()))["choices"] == gateway.chat()["choices"]


def test_fields_for_others_do_no_harm(gateway):
    more = {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "prompt_cache_key": "k"}
    assert gateway.chat(**more, safety_identifier="s")["choices"] == gateway.chat()["choices"]


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_json_schema(gateway):
    messages = [{"role": "user", "content": "Make up a person."}]
    [choice] = gateway.chat(messages=messages, response_format=schema_format(PERSON), max_tokens=64)["choices"]
    assert choice["finish_reason"] == "stop", choice
    person = json.loads(choice["message"]["content"])
    assert person.keys() == {"name", "age"}
    assert isinstance(person["name"], str) and len(person["name"]) <= 8 and type(person["age"]) is int


def test_json_schema_leaves_no_choice(gateway):
    """The value is none that the model would come to by itself."""
    schema = {**PERSON, "properties": {"name": {"enum": ["Zyx"]}, "age": {"enum": [4711]}}}
    [choice] = gateway.chat(response_format=schema_format(schema), max_tokens=64)["choices"]
    assert json.loads(choice["message"]["content"]) == {"name": "Zyx", "age": 4711}


def test_json_object(gateway):
    messages = [{"role": "user", "content": 'Answer with the JSON object {"ok": true} and nothing else.'}]
    body = gateway.chat_body(messages=messages, response_format={"type": "json_object"}, max_tokens=64)
    [choice] = gateway.chat(**body)["choices"]
    # A model this small may go on until it is cut off, but whatever it says begins as an object.
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    else:
        assert choice["message"]["content"].lstrip().startswith("{")
