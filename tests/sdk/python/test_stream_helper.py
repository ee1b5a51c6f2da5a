"""chat.completions.stream: the client's own events over a stream, and the completion it puts together."""

import openai
import pydantic
import pytest

from gateway import CHAT, OWN, say, user


class Person(pydantic.BaseModel):
    name: str
    age: int


ADA = '{"name": "Ada", "age": 36}'


def test_events(client):
    with client.chat.completions.stream(model=CHAT, messages=say("one two three")) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    kinds = [event.type for event in events]
    assert set(kinds) == {"chunk", "content.delta", "content.done"}
    assert kinds.count("content.done") == 1
    deltas = [event for event in events if event.type == "content.delta"]
    assert "".join(event.delta for event in deltas) == "one two three" == deltas[-1].snapshot
    [done] = [event for event in events if event.type == "content.done"]
    assert (done.content, done.parsed) == ("one two three", None)
    [choice] = final.choices
    assert (choice.finish_reason, choice.message.role, choice.message.content) == ("stop", "assistant", "one two three")
    assert choice.message.refusal is None and not choice.message.tool_calls
    assert final.object == "chat.completion" and final.id.startswith("chatcmpl-")
    assert final.model == CHAT and final.usage is None


def test_the_final_completion_is_the_whole_one(client):
    asked = {"model": CHAT, "messages": user("[[tokens=9]]"), "n": 2, "seed": 5}
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        final = stream.get_final_completion()
    whole = client.chat.completions.create(**asked)
    for ours, theirs in zip(final.choices, whole.choices, strict=True):
        assert (ours.index, ours.message.content, ours.finish_reason) == (
            theirs.index, theirs.message.content, theirs.finish_reason
        )
    assert final.usage.completion_tokens == whole.usage.completion_tokens
    assert final.usage.prompt_tokens == whole.usage.prompt_tokens
    assert (final.service_tier, final.system_fingerprint) == (whole.service_tier, whole.system_fingerprint)


def test_logprobs_events(client):
    with client.chat.completions.stream(model=CHAT, messages=say("one two"), logprobs=True) as stream:
        events = list(stream)
    [done] = [event for event in events if event.type == "logprobs.content.done"]
    assert [entry.token for entry in done.content] == ["one", " two"]
    deltas = [event for event in events if event.type == "logprobs.content.delta"]
    assert [entry.token for event in deltas for entry in event.content] == ["one", " two"]


def test_parsed(client):
    with client.chat.completions.stream(model=CHAT, messages=say(ADA), response_format=Person) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    partial = [event.parsed for event in events if event.type == "content.delta"]
    assert partial[-1] == {"name": "Ada", "age": 36}
    [done] = [event for event in events if event.type == "content.done"]
    assert done.parsed == final.choices[0].message.parsed == Person(name="Ada", age=36)


def test_cut_short(client):
    asked = {"model": CHAT, "messages": say(ADA), "response_format": Person, "max_tokens": 2}
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        with client.chat.completions.stream(**asked) as stream:
            stream.until_done()
    assert caught.value.completion.choices[0].finish_reason == "length"


def test_error_in_the_middle(client):
    text = ""
    with pytest.raises(openai.APIError) as caught:
        with client.chat.completions.stream(model=CHAT, messages=user("[[tokens=9]][[fault:die_after=3]]")) as stream:
            for event in stream:
                if event.type == "content.delta":
                    text = event.snapshot
    assert caught.value.type == "server_error"
    assert len(text.split()) == 3


def test_leaving_frees_the_engine(client, own_engine):
    with client.chat.completions.stream(model=OWN, messages=user("[[tokens=600]][[delay=50ms]]")) as stream:
        for event in stream:
            if event.type == "content.delta":
                break
        own_engine.wait_until(running=1, seconds=5)
    own_engine.wait_until(running=0, seconds=1)
