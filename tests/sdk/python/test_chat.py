"""chat.completions.create, not streamed."""

import json
import time

import openai
import pytest

from gateway import CHAT, REQUEST_ID, say, user


def test_answer(client):
    before = int(time.time())
    completion = client.chat.completions.create(model=CHAT, messages=say("Hello there"))
    assert completion.id.startswith("chatcmpl-") and len(completion.id) == len("chatcmpl-") + 29
    assert (completion.object, completion.model) == ("chat.completion", CHAT)
    assert before <= completion.created <= time.time()
    assert completion.service_tier == "default"
    assert completion.system_fingerprint is None
    assert REQUEST_ID.fullmatch(completion._request_id)
    [choice] = completion.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    message = choice.message
    assert (message.role, message.content, message.refusal, message.annotations) == ("assistant", "Hello there", None, [])
    # Absent, and neither null nor empty.
    assert not {"tool_calls", "function_call", "audio"} & message.model_fields_set
    assert message.tool_calls is None


def test_usage_has_all_its_details(client):
    usage = client.chat.completions.create(model=CHAT, messages=say("Hello there")).usage
    # As OpenAI's tools count: two tokens here.
    assert usage.completion_tokens == 2
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 <= usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens
    assert usage.prompt_tokens_details.audio_tokens == 0
    details = usage.completion_tokens_details
    assert (details.reasoning_tokens, details.audio_tokens) == (0, 0)
    assert (details.accepted_prediction_tokens, details.rejected_prediction_tokens) == (0, 0)


def test_several_choices(client):
    completion = client.chat.completions.create(model=CHAT, messages=user("[[tokens=4]]"), n=3, seed=1)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in completion.choices}) == 3
    assert all(choice.finish_reason == "stop" for choice in completion.choices)


def test_the_same_seed_gives_the_same_text(client):
    texts = [
        client.chat.completions.create(model=CHAT, messages=user("[[tokens=4]]"), seed=seed).choices[0].message.content
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("most", ["max_tokens", "max_completion_tokens"])
def test_length(client, most):
    completion = client.chat.completions.create(model=CHAT, messages=say("one two three"), **{most: 2})
    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.content == "one two"


@pytest.mark.parametrize("stop", ["three", ["x", "y", "z", "two three"], ["three", "four"]], ids=str)
def test_stop(client, stop):
    choice = client.chat.completions.create(model=CHAT, messages=say("one two three four"), stop=stop).choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.content == ("one " if "two three" in stop else "one two ")


def test_logprobs(client):
    choice = client.chat.completions.create(
        model=CHAT, messages=say("one zwölf 日本"), logprobs=True, top_logprobs=3
    ).choices[0]
    assert choice.logprobs.refusal is None
    entries = choice.logprobs.content
    assert bytes(byte for entry in entries for byte in entry.bytes).decode() == choice.message.content
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.token == entry.top_logprobs[0].token


def test_logprobs_without_alternatives(client):
    choice = client.chat.completions.create(model=CHAT, messages=say("one two"), logprobs=True).choices[0]
    assert [entry.top_logprobs for entry in choice.logprobs.content] == [[], []]


def test_all_kinds_of_messages(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    completion = client.chat.completions.create(
        model=CHAT,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "name": "ada", "content": [{"type": "text", "text": part} for part in ("Is it", " warm?")]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "25 degrees"},
            {"role": "assistant", "content": "Yes.", "refusal": None},
            {"role": "user", "content": "[[say:All read]]"},
        ],
    )
    assert completion.choices[0].message.content == "All read"


ACCEPTED = {
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "temperature": 0.3,
    "top_p": 0.9,
    "logit_bias": {"50": -100},
    "metadata": {"team": "a"},
    "store": False,
    "service_tier": "auto",
    "prompt_cache_key": "a",
    "safety_identifier": "a",
    "user": "ada",
    "reasoning_effort": "low",
    "verbosity": "medium",
    "modalities": ["text"],
    "prediction": {"type": "content", "content": "Fine"},
    "response_format": {"type": "text"},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_parameters(client, name):
    completion = client.chat.completions.create(model=CHAT, messages=say("Fine"), **{name: ACCEPTED[name]})
    assert completion.choices[0].message.content == "Fine"


def test_json_object(client):
    completion = client.chat.completions.create(
        model=CHAT, messages=user("Answer in JSON."), response_format={"type": "json_object"}
    )
    assert json.loads(completion.choices[0].message.content) == {}


# What vLLM's users send, and how it shows.
EXTRAS = [
    ({"min_tokens": 12}, lambda choice: len(choice.message.content.split()) >= 10),
    ({"ignore_eos": True, "max_tokens": 30}, lambda choice: choice.finish_reason == "length"),
    ({"structured_outputs": {"choice": ["red", "blue"]}}, lambda choice: choice.message.content in ("red", "blue")),
    ({"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}, lambda choice: choice.finish_reason == "stop"),
    ({"chat_template_kwargs": {"enable_thinking": False}}, lambda choice: choice.finish_reason == "stop"),
]


@pytest.mark.parametrize("extra, shows", EXTRAS, ids=[str(row[0]) for row in EXTRAS])
def test_extra_body(client, extra, shows):
    text = "A question" if "structured_outputs" in extra else "[[tokens=2]]"
    completion = client.chat.completions.create(model=CHAT, messages=user(text), extra_body=extra)
    assert shows(completion.choices[0]), completion


def test_extra_body_that_nobody_knows(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CHAT, messages=say("Fine"), extra_body={"nonsense": 1})
    assert "Unrecognized request argument supplied: nonsense" in caught.value.message


def test_extra_headers_and_query(client):
    completion = client.chat.completions.create(
        model=CHAT, messages=say("Fine"), extra_headers={"x-team": "a"}, extra_query={"team": "a"}
    )
    assert completion.choices[0].message.content == "Fine"
