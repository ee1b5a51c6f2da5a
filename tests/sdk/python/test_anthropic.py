"""Anthropic's Python client in front of engines that answer as they are told."""

import anthropic
import pytest

from anthropic_client import connect, texts
from gateway import AWAY, CHAT, CONTEXT_LENGTH, FEW_REQUESTS_KEY, NOBODY_LISTENS, OWN, REQUEST_ID, SUSPENDED_KEY, say, user

# Its template shows tools, and its calls and reasoning are read.
AGENT = "sdk-agent"
WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(scope="module")
def client():
    with connect() as client:
        yield client


def ask(client, messages, model=CHAT, **more):
    return client.messages.create(**{"model": model, "max_tokens": 500, "messages": messages} | more)


def test_texts_are_the_engines(client):
    message = ask(client, say("Grüße, 世界 🎉"))
    assert texts(message) == ["Grüße, 世界 🎉"]
    assert REQUEST_ID.fullmatch(message._request_id)


def test_events_come_in_anthropics_order(client):
    events = list(ask(client, say("one two three"), stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert events[0].message.usage.input_tokens > 0
    assert "".join(event.delta.text for event in events[2:-3]) == "one two three"


def test_stop_sequences_are_named(client):
    for stream in (False, True):
        asked = {"messages": say("one STOP two"), "model": CHAT, "max_tokens": 50, "stop_sequences": ["x", "STOP"]}
        if stream:
            with client.messages.stream(**asked) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**asked)
        assert (texts(message), message.stop_reason, message.stop_sequence) == (["one "], "stop_sequence", "STOP")


def test_thinking_is_a_block_for_those_who_ask(client):
    asked = {"messages": say("<think>let me see</think>Yes."), "model": AGENT, "max_tokens": 2000}
    shown = client.messages.create(**asked, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in shown.content] == ["thinking", "text"]
    assert shown.content[0].thinking == "let me see" and shown.content[0].signature
    with client.messages.stream(**asked, thinking={"type": "adaptive"}) as stream:
        final = stream.get_final_message()
    assert [(block.type, getattr(block, "thinking", None)) for block in final.content] == [
        ("thinking", "let me see"), ("text", None),
    ]
    assert [block.type for block in client.messages.create(**asked).content] == ["text"]
    # What a client sends back is taken.
    turns = [*user("hi"), {"role": "assistant", "content": shown.content}, *say("And yes again.")]
    assert texts(ask(client, turns, model=AGENT)) == ["And yes again."]


CALLS = (
    'I look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
)


def test_the_models_own_calls(client):
    asked = {"messages": say(CALLS), "model": AGENT, "max_tokens": 200, "tools": [WEATHER]}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    for message in (whole, final):
        assert message.stop_reason == "tool_use"
        assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
        assert [block.input for block in message.content[1:]] == [{"city": "Rome"}, {"city": "Paris"}]
        assert len({block.id for block in message.content[1:]}) == 2


def test_structured_output(client):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    message = ask(client, user("a number"), output_config={"format": {"type": "json_schema", "schema": schema}})
    assert texts(message)[0].startswith('{"n":')


ERRORS = [
    ("no messages", {"messages": []}, anthropic.BadRequestError, "messages: at least one message is required"),
    ("unknown field", {"extra_body": {"n": 2}}, anthropic.BadRequestError, "n: Extra inputs are not permitted"),
    ("too long", {"messages": user("word " * 3000)}, anthropic.BadRequestError, f"prompt is too long: .* > {CONTEXT_LENGTH} maximum"),
    ("unknown model", {"model": "nobody"}, anthropic.NotFoundError, "nobody"),
    ("engine away", {"model": AWAY}, anthropic.InternalServerError, "."),
    ("server tool", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, anthropic.BadRequestError, "web_search"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("change, kind, message", [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_errors(client, change, kind, message, stream):
    with pytest.raises(kind, match=message) as caught:
        client.messages.create(**{"model": CHAT, "max_tokens": 50, "messages": say("x"), "stream": stream} | change)
    body = caught.value.body
    assert body["type"] == "error" and body["error"].keys() == {"type", "message"}
    assert body["request_id"] == caught.value.request_id == caught.value.response.headers["request-id"]
    if kind is anthropic.InternalServerError:
        assert (caught.value.status_code, body["error"]["type"]) == (529, "overloaded_error")


def test_keys():
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        ask(connect(api_key="sk-wrong"), say("x"))
    with pytest.raises(anthropic.RateLimitError):
        ask(connect(api_key=SUSPENDED_KEY), say("x"))
    assert texts(ask(connect(api_key=None, auth_token="sk-sdk-tests"), say("by a bearer"))) == ["by a bearer"]


def test_a_broken_stream_is_an_error(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(ask(client, user("[[tokens=50]][[fault:die_after=3]]"), stream=True))
    assert caught.value.body["error"]["type"] in ("overloaded_error", "api_error")


def test_quiet_streams_are_kept_alive(client):
    events = list(ask(client, user("[[say:late]][[first=1500ms]]"), stream=True))
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "late"


def test_who_leaves_stops_the_engine(client, own_engine):
    with client.messages.stream(model=OWN, max_tokens=600, messages=user("[[tokens=600]][[delay=50ms]]")) as stream:
        next(iter(stream.text_stream))
    own_engine.wait_until(running=0, seconds=1)


def test_nobody_there():
    with pytest.raises(anthropic.APIConnectionError):
        ask(connect(base_url=NOBODY_LISTENS), say("x"))


def test_retries_wait_as_told():
    client = connect(api_key=FEW_REQUESTS_KEY, max_retries=5)
    for _ in range(40):
        assert texts(ask(client, say("ok"))) == ["ok"]
