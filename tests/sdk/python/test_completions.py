"""completions.create: the endpoint that was there before chat."""

import openai
import pytest

from gateway import CHAT, REQUEST_ID

SAY = "[[say:one two three]]"


def by_index(chunks):
    """The text of every choice of a stream, and how each ended."""
    texts, ends = {}, {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            if choice.finish_reason:
                assert choice.index not in ends, "a choice ends once"
                ends[choice.index] = choice.finish_reason
    return texts, ends


def from_the_first(offsets):
    """Where they begin is not said anywhere: with the answer, or with the prompt before it."""
    return [offset - offsets[0] for offset in offsets]


def test_answer(client):
    completion = client.completions.create(model=CHAT, prompt=SAY)
    assert completion.id.startswith("cmpl-") and len(completion.id) == len("cmpl-") + 29
    assert (completion.object, completion.model) == ("text_completion", CHAT)
    [choice] = completion.choices
    assert (choice.index, choice.text, choice.finish_reason, choice.logprobs) == (0, "one two three", "stop", None)
    assert completion.usage.completion_tokens == 3
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 3
    assert REQUEST_ID.fullmatch(completion._request_id)


def test_sixteen_tokens_unless_told_otherwise(client):
    choice = client.completions.create(model=CHAT, prompt="[[tokens=50]]").choices[0]
    assert choice.finish_reason == "length" and len(choice.text.split()) == 16


def test_several_prompts(client):
    completion = client.completions.create(model=CHAT, prompt=["[[say:a]]", "[[say:b]]", "[[say:c]]"])
    assert [(choice.index, choice.text) for choice in completion.choices] == [(0, "a"), (1, "b"), (2, "c")]
    alone = client.completions.create(model=CHAT, prompt="[[say:a]]").usage
    assert completion.usage.prompt_tokens == 3 * alone.prompt_tokens
    assert completion.usage.completion_tokens == 3


def test_several_prompts_with_several_choices(client):
    """All of the first prompt, then all of the second."""
    completion = client.completions.create(model=CHAT, prompt=["[[say:a]]", "[[say:b]]"], n=2)
    assert [(choice.index, choice.text) for choice in completion.choices] == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]


@pytest.mark.parametrize("prompt, tokens, choices", [([5, 6, 7], 3, 1), ([[5, 6, 7], [8]], 4, 2)], ids=["one", "two"])
def test_token_ids(client, prompt, tokens, choices):
    completion = client.completions.create(model=CHAT, prompt=prompt, max_tokens=2)
    assert [choice.index for choice in completion.choices] == list(range(choices))
    assert completion.usage.prompt_tokens == tokens


def test_echo(client):
    choice = client.completions.create(model=CHAT, prompt=SAY, echo=True).choices[0]
    assert choice.text == SAY + "one two three"


def test_streamed_echo(client):
    texts, ends = by_index(client.completions.create(model=CHAT, prompt=[SAY, "[[say:x]]"], echo=True, stream=True))
    assert texts == {0: SAY + "one two three", 1: "[[say:x]]x"}
    assert ends == {0: "stop", 1: "stop"}


def test_logprobs(client):
    choice = client.completions.create(model=CHAT, prompt=SAY, logprobs=2).choices[0]
    logprobs = choice.logprobs
    assert logprobs.tokens == ["one", " two", " three"]
    assert from_the_first(logprobs.text_offset) == [0, 3, 7]
    assert all(number <= 0 for number in logprobs.token_logprobs) and len(logprobs.token_logprobs) == 3
    for token, number, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
        assert top[token] == number and len(top) >= 2


def test_best_of(client):
    completion = client.completions.create(model=CHAT, prompt="[[tokens=3]]", n=2, best_of=4)
    assert [choice.index for choice in completion.choices] == [0, 1]
    # All that was generated is counted, also what is not shown.
    assert completion.usage.completion_tokens > 2 * 3


@pytest.mark.parametrize("asked", [{"n": 3, "best_of": 2}, {"best_of": 2, "stream": True}], ids=str)
def test_best_of_that_makes_no_sense(client, asked):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=CHAT, prompt=SAY, **asked)
    assert "best_of" in caught.value.message


def test_suffix_is_refused_by_name(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=CHAT, prompt=SAY, suffix="the end")
    assert caught.value.param == "suffix"


def test_stop(client):
    choice = client.completions.create(model=CHAT, prompt=SAY, stop=["three"]).choices[0]
    assert (choice.text, choice.finish_reason) == ("one two ", "stop")


def test_stream(client):
    chunks = list(client.completions.create(model=CHAT, prompt=SAY, stream=True))
    assert by_index(chunks) == ({0: "one two three"}, {0: "stop"})
    assert {(chunk.id, chunk.object, chunk.model, chunk.created) for chunk in chunks} == {
        (chunks[0].id, "text_completion", CHAT, chunks[0].created)
    }
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


def test_streamed_prompts_keep_their_index(client):
    asked = {"model": CHAT, "prompt": [f"[[tokens={number}]]" for number in (3, 9, 1)], "n": 2, "seed": 2}
    *chunks, last = client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    texts, ends = by_index(chunks)
    whole = client.completions.create(**asked)
    assert texts == {choice.index: choice.text for choice in whole.choices}
    assert ends == dict.fromkeys(range(6), "stop")
    assert last.choices == [] and last.usage == whole.usage
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks)


def test_streamed_logprobs(client):
    chunks = list(client.completions.create(model=CHAT, prompt=SAY, stream=True, logprobs=1))
    told = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert [token for logprobs in told for token in logprobs.tokens] == ["one", " two", " three"]
    offsets = [offset for logprobs in told for offset in logprobs.text_offset]
    assert from_the_first(offsets) == [0, 3, 7]


def test_extra_body(client):
    choice = client.completions.create(model=CHAT, prompt="[[tokens=2]]", extra_body={"min_tokens": 9}).choices[0]
    assert len(choice.text.split()) >= 8
