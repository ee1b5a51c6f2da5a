"""Anthropic's Python client on any model: these tests also run in front of a real one."""

import anthropic
import pytest

from anthropic_client import connect, texts
from gateway import CHAT, user

ASKED = {
    "model": CHAT,
    "max_tokens": 60,
    # The client has dropped it, and its users send it on.
    "extra_body": {"temperature": 0},
    "system": "You are a helpful assistant.",
    "messages": user("What is the capital of France?"),
}
TELL_CITY = {
    "name": "tell_city",
    "description": "Tells a city.",
    "input_schema": {
        "type": "object",
        "properties": {"name": {"type": "string", "enum": ["Paris", "Rome"]}, "capital": {"type": "boolean"}},
        "required": ["name", "capital"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def client():
    with connect() as client:
        yield client


def check_city(city):
    assert city.keys() == {"name", "capital"} and city["name"] in ("Paris", "Rome") and isinstance(city["capital"], bool)


def test_create_and_the_same_streamed(client):
    whole = client.messages.create(**ASKED)
    assert (whole.type, whole.role, whole.model) == ("message", "assistant", CHAT)
    assert texts(whole)[0] and whole.stop_reason in ("end_turn", "max_tokens")
    assert whole.usage.input_tokens + whole.usage.cache_read_input_tokens > 0 and whole.usage.output_tokens > 0
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream) == texts(whole)[0]
        final = stream.get_final_message()
    assert (texts(final), final.stop_reason, final.usage.output_tokens) == (
        texts(whole), whole.stop_reason, whole.usage.output_tokens,
    )


def test_the_bound_is_kept(client):
    cut = client.messages.create(**{**ASKED, "max_tokens": 3})
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens <= 3


def test_a_beginning_is_gone_on_with(client):
    turns = [*ASKED["messages"], {"role": "assistant", "content": "The capital of France is"}]
    assert texts(client.messages.create(**{**ASKED, "messages": turns}))


def test_tokens_are_counted_as_they_are_used(client):
    count = client.messages.count_tokens(**{name: ASKED[name] for name in ("model", "system", "messages")})
    usage = client.messages.create(**ASKED).usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "tell_city"}, {"type": "any"}], ids=["named", "any"])
def test_a_tool_whole_and_streamed(client, choice):
    asked = {**ASKED, "max_tokens": 200, "tools": [TELL_CITY], "tool_choice": choice | {"disable_parallel_tool_use": True}}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    for message in (whole, final):
        [block] = [block for block in message.content if block.type == "tool_use"]
        assert message.stop_reason == "tool_use" and block.name == "tell_city" and block.id.startswith("toolu_01")
        check_city(block.input)
    result = {"type": "tool_result", "tool_use_id": whole.content[-1].id, "content": "noted"}
    turns = [
        *ASKED["messages"],
        {"role": "assistant", "content": whole.content},
        {"role": "user", "content": [result, {"type": "text", "text": "Thank you."}]},
    ]
    assert client.messages.create(**{**ASKED, "messages": turns, "tools": [TELL_CITY]}).id != whole.id


def test_what_is_too_long(client):
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: "):
        client.messages.create(**{**ASKED, "messages": user("word " * 20_000)})
