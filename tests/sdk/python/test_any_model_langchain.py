"""What of LangChain holds whatever the model says: these tests also run in front of a real one."""

from typing import Literal

import pydantic
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool

from gateway import CHAT
from langchain_client import accumulated, chat

ASKED = {"temperature": 0, "seed": 7, "max_tokens": 100}
MODEL = chat(CHAT, **ASKED)
QUESTION = [SystemMessage("You are a helpful assistant."), HumanMessage("What is the capital of France?")]


class City(pydantic.BaseModel, extra="forbid"):
    """A city and what it is. Closed, since a small model adds members without end where it may."""

    name: Literal["Paris", "Rome"]
    capital: bool


class Answer(pydantic.BaseModel, extra="forbid"):
    city: City
    visited: bool


# LangChain leaves out that the arguments of a function are closed, unless they are strict.
FORCED = {"strict": True, "parallel_tool_calls": False}


@tool
def tell_city(city: City, visited: bool) -> str:
    """Takes an answer about a city."""
    return f"{city.name} it is."


def check_call(message):
    assert message.invalid_tool_calls == []
    [call] = message.tool_calls
    assert call["name"] == "tell_city"
    Answer.model_validate(call["args"], strict=True)
    assert tell_city.invoke(call).content.endswith(" it is.")
    return call


def test_a_chat_and_the_same_streamed():
    whole = MODEL.invoke(QUESTION)
    streamed = accumulated(MODEL.stream(QUESTION, stream_usage=True))
    assert whole.content and streamed.content == whole.content
    assert streamed.usage_metadata["total_tokens"] == whole.usage_metadata["total_tokens"] > 0
    assert streamed.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]


@pytest.mark.anyio
@pytest.mark.parametrize("strict", [None, True], ids=["", "strict"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_structured_output(method, strict, own_http):
    structured = chat(CHAT, **ASKED, http_async_client=own_http).with_structured_output(City, method=method, strict=strict)
    for city in (
        structured.invoke(QUESTION),
        list(structured.stream(QUESTION))[-1],
        await structured.ainvoke(QUESTION),
        [part async for part in structured.astream(QUESTION)][-1],
    ):
        assert isinstance(city, City)


@pytest.mark.anyio
@pytest.mark.parametrize("choice", ["any", "tell_city"])
async def test_a_tool_that_must_be_called(choice, own_http):
    model = chat(CHAT, **ASKED, http_async_client=own_http)
    model = model.bind_tools([tell_city], tool_choice=choice, **FORCED)
    whole = model.invoke(QUESTION)
    check_call(whole)
    streamed = accumulated(model.stream(QUESTION, stream_usage=True))
    check_call(streamed)
    assert streamed.usage_metadata["output_tokens"] > 0
    check_call(await model.ainvoke(QUESTION))
    check_call(accumulated([chunk async for chunk in model.astream(QUESTION)]))


def test_a_tool_is_called_and_answered():
    forced = MODEL.bind_tools([tell_city], tool_choice="any", **FORCED)
    asked = forced.invoke(QUESTION)
    told = tell_city.invoke(check_call(asked))
    answer = MODEL.bind_tools([tell_city], tool_choice="none").invoke([*QUESTION, asked, told])
    assert answer.content and answer.tool_calls == []
