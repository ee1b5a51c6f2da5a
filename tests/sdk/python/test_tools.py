"""Tools, where the request forces a call: named or required. And the functions that were there before tools."""

import json
import re

import openai
import pydantic
import pytest

from gateway import CHAT, user


class GetWeather(pydantic.BaseModel):
    """Tells the weather."""

    city: str
    unit: str = "celsius"


class GetTime(pydantic.BaseModel):
    """Tells the time."""

    zone: str


WEATHER = openai.pydantic_function_tool(GetWeather)
TIME = openai.pydantic_function_tool(GetTime)
NAMED = {"type": "function", "function": {"name": "GetWeather"}}
CALL_ID = re.compile(r"call_[A-Za-z0-9]{24}")
ARGUMENTS = {"GetWeather": {"city", "unit"}, "GetTime": {"zone"}}


def check_call(call):
    assert CALL_ID.fullmatch(call.id) and call.type == "function"
    assert json.loads(call.function.arguments).keys() == ARGUMENTS[call.function.name]


# A named call ends as an answer does, a required one as a call does.
FORCED = [
    ("named", [WEATHER, TIME], NAMED, "stop"),
    ("required", [WEATHER], "required", "tool_calls"),
    ("required of two", [WEATHER, TIME], "required", "tool_calls"),
]
forced = pytest.mark.parametrize("tools, choice, finish", [row[1:] for row in FORCED], ids=[row[0] for row in FORCED])


@forced
def test_call(client, tools, choice, finish):
    completion = client.chat.completions.create(
        model=CHAT, messages=user("Is it warm?"), tools=tools, tool_choice=choice
    )
    [answer] = completion.choices
    assert (answer.finish_reason, answer.message.content, answer.message.refusal) == (finish, None, None)
    for call in answer.message.tool_calls:
        check_call(call)
    if choice == NAMED:
        assert [call.function.name for call in answer.message.tool_calls] == ["GetWeather"]


@forced
def test_streamed_call(client, tools, choice, finish):
    chunks = list(
        client.chat.completions.create(
            model=CHAT, messages=user("Is it warm?"), tools=tools, tool_choice=choice, stream=True
        )
    )
    choices = [chunk.choices[0] for chunk in chunks]
    deltas = [call for answer in choices for call in answer.delta.tool_calls or []]
    assert all(len(answer.delta.tool_calls or []) <= 1 for answer in choices), "one call in a chunk"
    opened = [delta for delta in deltas if delta.id]
    assert [delta.index for delta in opened] == list(range(len(opened))) != []
    for delta in deltas:
        # Said once, at the beginning of each call.
        assert (delta.type, bool(delta.function.name)) == (("function", True) if delta.id else (None, False))
    assert choices[0].delta.role == "assistant" and choices[0].delta.content is None
    assert not any(answer.delta.content for answer in choices)
    assert choices[-1].finish_reason == finish
    for start in opened:
        arguments = "".join(delta.function.arguments or "" for delta in deltas if delta.index == start.index)
        assert json.loads(arguments).keys() == ARGUMENTS[start.function.name]


def test_call_ids_are_new_each_time(client):
    asked = {"model": CHAT, "messages": user("Is it warm?"), "tools": [WEATHER], "tool_choice": NAMED}
    ids = {client.chat.completions.create(**asked).choices[0].message.tool_calls[0].id for _ in range(3)}
    assert len(ids) == 3


def test_parsed_arguments(client):
    completion = client.chat.completions.parse(
        model=CHAT, messages=user("Is it warm?"), tools=[WEATHER, TIME], tool_choice=NAMED
    )
    message = completion.choices[0].message
    assert message.content is None and message.parsed is None
    assert isinstance(message.tool_calls[0].function.parsed_arguments, GetWeather)


def test_stream_helper(client):
    asked = {"model": CHAT, "messages": user("Is it warm?"), "tools": [WEATHER, TIME], "tool_choice": NAMED}
    with client.chat.completions.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    [done] = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert (done.name, done.index) == ("GetWeather", 0)
    assert "".join(event.arguments_delta for event in deltas) == done.arguments
    assert isinstance(done.parsed_arguments, GetWeather)
    message = final.choices[0].message
    check_call(message.tool_calls[0])
    assert message.tool_calls[0].function.parsed_arguments == done.parsed_arguments
    assert (message.role, message.content) == ("assistant", None)


def test_arguments_cut_short(client):
    """The budget ends inside the call, so `length` wins, and what there is of the arguments is told."""
    choice = client.chat.completions.create(
        model=CHAT, messages=user("Is it warm?"), tools=[WEATHER], tool_choice=NAMED, max_tokens=2
    ).choices[0]
    assert choice.finish_reason == "length"
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=CHAT, messages=user("Is it warm?"), tools=[WEATHER], tool_choice=NAMED, max_tokens=2
        )


def test_a_conversation_with_tools(client):
    """What was called goes back as the client wrote it, with its result."""
    messages = user("Is it warm?")
    called = client.chat.completions.create(model=CHAT, messages=messages, tools=[WEATHER], tool_choice=NAMED)
    [call] = called.choices[0].message.tool_calls
    messages += [
        called.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "[[say:It is warm.]]"},
    ]
    answer = client.chat.completions.create(model=CHAT, messages=messages, tools=[WEATHER], tool_choice="none")
    assert answer.choices[0].message.content == "It is warm."
    assert answer.choices[0].message.tool_calls is None


def test_tools_that_are_not_called(client):
    for choice in ("auto", "none"):
        message = client.chat.completions.create(
            model=CHAT, messages=user("[[say:Just text]]"), tools=[WEATHER], tool_choice=choice
        ).choices[0].message
        assert message.content == "Just text" and "tool_calls" not in message.model_fields_set


def test_a_name_that_is_no_tool(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=CHAT, messages=user("x"), tools=[TIME], tool_choice={"type": "function", "function": {"name": "nope"}}
        )
    assert caught.value.param == "tool_choice"


FUNCTION = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def test_legacy_function(client):
    choice = client.chat.completions.create(
        model=CHAT, messages=user("Is it warm?"), functions=[FUNCTION], function_call={"name": "get_weather"}
    ).choices[0]
    assert choice.message.function_call.name == "get_weather"
    assert json.loads(choice.message.function_call.arguments).keys() == {"city"}
    assert choice.message.content is None and "tool_calls" not in choice.message.model_fields_set
    # Unlike a named tool.
    assert choice.finish_reason == "function_call"


def test_streamed_legacy_function(client):
    chunks = client.chat.completions.create(
        model=CHAT,
        messages=user("Is it warm?"),
        functions=[FUNCTION],
        function_call={"name": "get_weather"},
        stream=True,
    )
    choices = [chunk.choices[0] for chunk in chunks]
    calls = [choice.delta.function_call for choice in choices if choice.delta.function_call]
    assert [call.name for call in calls if call.name] == ["get_weather"]
    assert json.loads("".join(call.arguments or "" for call in calls)).keys() == {"city"}
    assert choices[-1].finish_reason == "function_call"


def test_a_conversation_with_legacy_functions(client):
    completion = client.chat.completions.create(
        model=CHAT,
        messages=[
            *user("Is it warm?"),
            {"role": "assistant", "content": None, "function_call": {"name": "get_weather", "arguments": "{}"}},
            {"role": "function", "name": "get_weather", "content": "[[say:It is warm.]]"},
        ],
        functions=[FUNCTION],
        function_call="none",
    )
    assert completion.choices[0].message.content == "It is warm."
