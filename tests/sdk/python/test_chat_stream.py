"""chat.completions.create(stream=True)."""

import httpx2
import openai
import pytest

from gateway import CHAT, OWN, say, user

# A stream that an engine needs half a minute for: one that is free within a second was told to stop.
LONG = user("[[tokens=600]][[delay=50ms]]")


def text_of(chunks, index=0):
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.index == index)


def test_chunks(client):
    with client.chat.completions.create(model=CHAT, messages=say("one two three"), stream=True) as stream:
        chunks = list(stream)
    first, *middle, last = [chunk.choices[0] for chunk in chunks]
    assert first.delta.model_dump(exclude_unset=True) == {"role": "assistant", "content": "", "refusal": None}
    assert all(choice.delta.model_fields_set == {"content"} for choice in middle)
    assert last.delta.model_dump(exclude_unset=True) == {}
    assert [choice.finish_reason for choice in (first, *middle, last)] == [None] * (len(middle) + 1) + ["stop"]
    assert text_of(chunks) == "one two three"
    for chunk in chunks:
        assert chunk.object == "chat.completion.chunk"
        assert (chunk.id, chunk.created, chunk.model, chunk.service_tier) == (
            chunks[0].id, chunks[0].created, CHAT, "default"
        )
        assert "usage" not in chunk.model_fields_set


def test_streamed_is_what_is_not_streamed(client):
    asked = {"model": CHAT, "messages": user("[[tokens=40]]"), "seed": 3}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    assert text_of(client.chat.completions.create(**asked, stream=True)) == whole


def test_usage(client):
    asked = {"model": CHAT, "messages": say("one two three")}
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    *others, last = chunks
    assert last.choices == [] and last.id == others[0].id
    assert last.usage.completion_tokens == 3
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert last.usage.completion_tokens == client.chat.completions.create(**asked).usage.completion_tokens
    for chunk in others:
        assert chunk.choices and chunk.usage is None and "usage" in chunk.model_fields_set


def test_several_choices(client):
    asked = {"model": CHAT, "messages": user("[[tokens=5]]"), "n": 3, "seed": 1}
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    whole = client.chat.completions.create(**asked)
    for choice in whole.choices:
        assert text_of(chunks, choice.index) == choice.message.content
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == choice.index]
        assert [c.delta.role for c in mine] == ["assistant"] + [None] * (len(mine) - 1)
        assert [c.finish_reason for c in mine] == [None] * (len(mine) - 1) + ["stop"]


def test_logprobs(client):
    chunks = list(
        client.chat.completions.create(
            model=CHAT, messages=say("one two three"), stream=True, logprobs=True, top_logprobs=1
        )
    )
    entries = [entry for chunk in chunks for c in chunk.choices if c.logprobs for entry in c.logprobs.content or []]
    assert "".join(entry.token for entry in entries) == text_of(chunks) == "one two three"
    assert all(len(entry.top_logprobs) == 1 for entry in entries)


def test_stop_text_is_never_seen(client):
    asked = {"model": CHAT, "messages": user("[[say:one two STOP three]][[cut=2]]"), "stop": ["STOP"]}
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert text_of(chunks) == "one two "
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_characters_are_whole(client):
    chunks = list(client.chat.completions.create(model=CHAT, messages=user("[[say:日本 🦀 é]][[cut=1]]"), stream=True))
    assert text_of(chunks) == "日本 🦀 é"
    assert not any("\ufffd" in (chunk.choices[0].delta.content or "") for chunk in chunks)


def test_quiet_stream(connect):
    """Only comments come for longer than the client waits for bytes; it reads over them."""
    client = connect(timeout=httpx2.Timeout(5, read=1))
    stream = client.chat.completions.create(model=CHAT, messages=user("[[tokens=2]][[delay=1800ms]]"), stream=True)
    assert len(text_of(stream).split()) == 2


@pytest.mark.parametrize("obfuscated", [False, True])
def test_obfuscation_changes_nothing(client, obfuscated):
    stream = client.chat.completions.create(
        model=CHAT, messages=say("one two"), stream=True, stream_options={"include_obfuscation": obfuscated}
    )
    assert text_of(stream) == "one two"


@pytest.mark.parametrize("how", ["close", "with", "response"])
def test_leaving_frees_the_engine(client, own_engine, how):
    stream = client.chat.completions.create(model=OWN, messages=LONG, stream=True)
    for _, _ in zip(range(3), stream, strict=False):
        pass
    own_engine.wait_until(running=1, seconds=5)
    if how == "close":
        stream.close()
    elif how == "with":
        with stream:
            pass
    else:
        stream.response.close()
    own_engine.wait_until(running=0, seconds=1)


def test_a_time_out_frees_the_engine(connect, own_engine):
    client = connect(timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model=OWN, messages=user("[[first=30s]]"))
    own_engine.wait_until(running=0, seconds=1)
