"""What holds whatever the model says: these tests also run in front of a real one."""

import math
import operator
import re
from typing import Literal

import openai
import pydantic
import pytest

from gateway import CHAT, EMBEDDING, REQUEST_ID, user

# The real model answers in one short sentence, and stops.
QUESTION = [{"role": "system", "content": "You are a helpful assistant."}, *user("What is the capital of France?")]
ASKED = {"model": CHAT, "messages": QUESTION, "temperature": 0, "seed": 7, "max_tokens": 100}


class City(pydantic.BaseModel):
    name: Literal["Paris", "Rome"]
    capital: bool


@pytest.mark.anyio
async def test_create(aclient, client):
    completion = client.chat.completions.create(**ASKED)
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.completion_tokens > 0
    assert REQUEST_ID.fullmatch(completion._request_id)
    assert (await aclient.chat.completions.create(**ASKED)).choices[0].message == completion.choices[0].message


def test_stream(client):
    *chunks, last = client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    whole = client.chat.completions.create(**ASKED)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.usage.completion_tokens == whole.usage.completion_tokens


def test_stream_helper(client):
    with client.chat.completions.stream(**ASKED) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == client.chat.completions.create(**ASKED).choices[0].message.content


def test_parse(client):
    completion = client.chat.completions.parse(**ASKED, response_format=City)
    assert isinstance(completion.choices[0].message.parsed, City)


def test_parse_in_a_stream(client):
    with client.chat.completions.stream(**ASKED, response_format=City) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, City)


def test_named_tool(client):
    completion = client.chat.completions.parse(
        **ASKED,
        tools=[openai.pydantic_function_tool(City)],
        tool_choice={"type": "function", "function": {"name": "City"}},
    )
    message = completion.choices[0].message
    [call] = message.tool_calls
    assert re.fullmatch(r"call_[A-Za-z0-9]{24}", call.id) and message.content is None
    assert isinstance(call.function.parsed_arguments, City)


def test_required_tool_in_a_stream(client):
    asked = {"tools": [openai.pydantic_function_tool(City)], "tool_choice": "required", "parallel_tool_calls": False}
    with client.chat.completions.stream(**ASKED, **asked) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    [call] = final.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, City)


RESPONSE = {"model": CHAT, "input": QUESTION, "temperature": 0, "max_output_tokens": 100, "extra_body": {"seed": 7}}


def test_response(client):
    whole = client.responses.create(**RESPONSE)
    assert whole.output_text and whole.status == "completed"
    with client.responses.stream(**RESPONSE) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == whole.output_text
    assert final.usage.output_tokens == whole.usage.output_tokens
    more = client.responses.create(model=CHAT, input="And of Italy?", previous_response_id=final.id, max_output_tokens=16)
    assert more.usage.input_tokens > final.usage.total_tokens


def test_parsed_response(client):
    assert isinstance(client.responses.parse(**RESPONSE, text_format=City).output_parsed, City)


def test_completions(client):
    completion = client.completions.create(
        model=CHAT, prompt=["The capital of France is", "One, two, three,"], temperature=0, max_tokens=4
    )
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert all(choice.text for choice in completion.choices)


def test_embeddings(client):
    both = client.embeddings.create(model=EMBEDDING, input=["a cat", "a dog"])
    plain = client.embeddings.create(model=EMBEDDING, input="a cat", encoding_format="float")
    assert [item.index for item in both.data] == [0, 1]
    assert math.hypot(*plain.data[0].embedding) == pytest.approx(1, abs=1e-3)
    # The client asks for base64 unless told otherwise.
    assert sum(map(operator.mul, both.data[0].embedding, plain.data[0].embedding)) == pytest.approx(1, abs=1e-2)


def test_errors(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{**ASKED, "messages": user("word " * 20_000)})
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**{**ASKED, "model": "nope"})
