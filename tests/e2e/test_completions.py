"""POST /v1/completions: the older form, with raw prompts."""

import re

import pytest

PATH = "/v1/completions"
# "The capital of France is" in this model's own tokens.
PROMPT_IDS = [504, 3575, 282, 4649, 314]


def text_of(chunks, index=0):
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index)


def test_real_text(client, gateway):
    reply = client.completions.create(**gateway.completion_body())
    assert "Paris" in reply.choices[0].text
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert (reply.usage.prompt_tokens, reply.choices[0].finish_reason) == (5, "length")


def test_shape(gateway):
    reply = gateway.completion()
    assert reply.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert re.fullmatch(r"cmpl-[A-Za-z0-9]+", reply["id"])
    assert (reply["object"], reply["model"]) == ("text_completion", gateway.model)
    [choice] = reply["choices"]
    assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
    assert choice["logprobs"] is None
    assert reply["usage"].keys() == {"prompt_tokens", "completion_tokens", "total_tokens"}


@pytest.mark.parametrize("prompt", [PROMPT_IDS, [PROMPT_IDS], ["The capital of France is"]], ids=["ids", "list of ids", "list"])
def test_forms_of_one_prompt(gateway, prompt):
    assert gateway.completion(prompt=prompt)["choices"] == gateway.completion()["choices"]


def test_several_prompts_keep_their_order(gateway):
    others = ["One two three four", "The capital of France is"]
    alone = [gateway.completion(prompt=prompt)["choices"][0]["text"] for prompt in others]
    assert alone[0] != alone[1]
    reply = gateway.completion(prompt=others, n=2)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    # An engine that works on several at once may round otherwise than on one alone: only the first words are compared.
    first_words = [choice["text"].split()[0] for choice in reply["choices"]]
    assert first_words == [alone[0].split()[0]] * 2 + [alone[1].split()[0]] * 2


def test_stop(gateway):
    whole = gateway.completion()["choices"][0]["text"]
    [choice] = gateway.completion(stop="aris")["choices"]
    assert choice["text"] == whole[: whole.index("aris")]
    assert choice["finish_reason"] == "stop"


def test_logprobs(gateway):
    [choice] = gateway.completion(logprobs=2)["choices"]
    logprobs = choice["logprobs"]
    assert logprobs.keys() == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == 8
    assert all(value <= 0 for value in logprobs["token_logprobs"])
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])
    begins = logprobs["text_offset"]
    assert begins == sorted(begins) and len(begins) == 8


@pytest.mark.parametrize("with_usage", [False, True])
def test_stream(gateway, with_usage):
    more = {"stream_options": {"include_usage": True}} if with_usage else {}
    whole = gateway.completion()
    chunks = gateway.stream(PATH, gateway.completion_body(**more))
    if with_usage:
        assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
        assert all(chunk["usage"] is None for chunk in chunks[:-1])
        chunks.pop()
    else:
        assert not any("usage" in chunk for chunk in chunks)
    assert text_of(chunks) == whole["choices"][0]["text"]
    assert len(chunks) >= 5, "the text came in one piece"
    for chunk in chunks:
        assert chunk["object"] == "text_completion"
        assert [chunk[key] for key in ("id", "created", "model")] == [chunks[0][key] for key in ("id", "created", "model")]
        [choice] = chunk["choices"]
        assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["length"]


def test_stream_of_several_prompts(gateway):
    prompts = ["One two three four", "The capital of France is"]
    chunks = gateway.stream(PATH, gateway.completion_body(prompt=prompts))
    for index in range(2):
        assert text_of(chunks, index)
        mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert [choice["finish_reason"] for choice in mine].count("length") == 1
    assert "Paris" in text_of(chunks, 1)
