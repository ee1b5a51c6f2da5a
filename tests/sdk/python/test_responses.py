"""Responses with the official client: whole and streamed, typed, with tools, gone on from, come back to."""

import json
import time

import openai
import pydantic
import pytest

from gateway import CHAT, user

AGENT = "sdk-agent"


class GetWeather(pydantic.BaseModel):
    """Tells the weather."""

    city: str


WEATHER = openai.pydantic_function_tool(GetWeather)
FLAT = {"type": "function", **{key: value for key, value in WEATHER["function"].items()}}
# What a strict function is called with is the engine's, once it is held to the schema.
CALL = '[[free:<think>Which tool?</think>Let me see.<tool_call>\n{"name": "GetWeather", "arguments": {"city": "Rome"}}\n</tool_call>]]'


def test_create(client):
    response = client.responses.create(model=CHAT, input="[[say:Hello there]]", instructions="Be kind.")
    assert (response.output_text, response.status, response.error) == ("Hello there", "completed", None)
    assert response.usage.output_tokens == 2
    assert response.usage.total_tokens == response.usage.input_tokens + 2
    assert response.model == CHAT and response.instructions == "Be kind."


def test_stream(client):
    events = list(client.responses.create(model=CHAT, input="[[say:Hello there]]", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello there"
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert events[-1].response.output_text == "Hello there"


def test_stream_helper(client):
    with client.responses.stream(model=AGENT, input=CALL, tools=[FLAT]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.reasoning_text.delta" in kinds and "response.function_call_arguments.done" in kinds
    reasoning, message, call = final.output
    assert reasoning.content[0].text == "Which tool?"
    assert message.content[0].text == "Let me see."
    assert json.loads(call.arguments).keys() == {"city"} and call.name == "GetWeather"


def test_parse(client):
    class City(pydantic.BaseModel):
        name: str
        capital: bool

    response = client.responses.parse(model=CHAT, input="A city, please.", text_format=City)
    assert isinstance(response.output_parsed, City)
    with client.responses.stream(model=CHAT, input="A city, please.", text_format=City) as stream:
        assert isinstance(stream.get_final_response().output_parsed, City)


def test_a_tool_over_two_turns(client):
    called = client.responses.parse(model=AGENT, input=CALL, tools=[WEATHER])
    [call] = [item for item in called.output if item.type == "function_call"]
    assert isinstance(call.parsed_arguments, GetWeather)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "[[say:It is warm.]]"}
    kept = client.responses.create(model=AGENT, previous_response_id=called.id, input=[output], tools=[FLAT])
    assert kept.output_text == "It is warm."
    sent = [*user(CALL), *(item.model_dump(exclude_none=True) for item in called.output), output]
    again = client.responses.create(model=AGENT, input=sent, tools=[FLAT], store=False)
    assert again.output_text == "It is warm."
    assert again.usage.input_tokens == kept.usage.input_tokens


def test_what_is_kept(client):
    response = client.responses.create(model=CHAT, input=user("[[say:Hello]]"), metadata={"k": "v"})
    found = client.responses.retrieve(response.id)
    assert found == response
    [item] = client.responses.input_items.list(response.id)
    assert item.content[0].text == "[[say:Hello]]"
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.responses.retrieve(response.id)


def test_a_stream_is_come_back_to(client):
    asked = {"model": CHAT, "input": "[[tokens=30]][[delay=10ms]]", "stream": True}
    seen = []
    with client.responses.create(**asked) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 9:
                break
    rest = client.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number)
    seen.extend(rest)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    assert seen[-1].response.output_text == text


def test_background(client):
    response = client.responses.create(model=CHAT, input="[[tokens=5]][[first=500ms]]", background=True)
    assert response.status in ("queued", "in_progress")
    deadline = time.monotonic() + 30
    while response.status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    assert response.status == "completed"
    endless = client.responses.create(model=CHAT, input="[[tokens=1000]][[delay=100ms]]", background=True)
    assert client.responses.cancel(endless.id).status == "cancelled"


def test_input_tokens(client):
    asked = {"model": CHAT, "input": "The quick brown fox jumps over the lazy dog."}
    counted = client.responses.input_tokens.count(**asked)
    assert counted.input_tokens == client.responses.create(**asked).usage.input_tokens


def test_errors(client):
    with pytest.raises(openai.BadRequestError) as unknown:
        client.responses.create(model="nobody", input="x")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="web_search"):
        client.responses.create(model=CHAT, input="x", tools=[{"type": "web_search"}])
    with pytest.raises(openai.BadRequestError, match="context window"):
        client.responses.create(model=CHAT, input="x " * 5000)


def test_a_stream_that_breaks(client):
    with pytest.raises(openai.APIError, match="server had an error"):
        list(client.responses.create(model=CHAT, input="[[say:a b c d e]][[fault:die_after=3]]", stream=True))
