"""LiteLLM as a client, on any model: chats, streams, forced calls, typed answers, embeddings, errors."""

import json
from typing import Literal

import litellm
import pydantic
import pytest

from gateway import BASE_URL, CHAT, EMBEDDING, KEY

AT = {"api_base": BASE_URL, "api_key": KEY, "num_retries": 0, "timeout": 30}
ASKED = {
    "model": f"openai/{CHAT}",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 60,
    **AT,
}


class City(pydantic.BaseModel):
    name: Literal["Paris", "Rome"]
    capital: bool


def test_chat_and_the_same_streamed():
    whole = litellm.completion(**ASKED)
    chunks = list(litellm.completion(**ASKED, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content != ""
    built = litellm.stream_chunk_builder(chunks)
    assert built.usage.completion_tokens == whole.usage.completion_tokens > 0
    assert built.choices[0].finish_reason == whole.choices[0].finish_reason


@pytest.mark.anyio
async def test_asynchronous():
    whole = await litellm.acompletion(**ASKED)
    chunks = [chunk async for chunk in await litellm.acompletion(**ASKED, stream=True)]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content


def test_a_forced_call_streamed():
    parameters = {**City.model_json_schema(), "additionalProperties": False}
    tool = {"type": "function", "function": {"name": "tell_city", "parameters": parameters}}
    chunks = list(litellm.completion(**ASKED, tools=[tool], tool_choice="required", stream=True))
    built = litellm.stream_chunk_builder(chunks)
    City.model_validate(json.loads(built.choices[0].message.tool_calls[0].function.arguments))
    assert built.choices[0].finish_reason == "tool_calls"


def test_a_typed_answer():
    answer = litellm.completion(**ASKED, response_format=City)
    City.model_validate_json(answer.choices[0].message.content)


def test_embeddings():
    answer = litellm.embedding(model=f"openai/{EMBEDDING}", input=["a cat", "a dog"], encoding_format="float", **AT)
    assert len(answer.data) == 2 and len(answer.data[0]["embedding"]) > 100


def test_anthropics_dialect():
    asked = {**ASKED, "model": f"anthropic/{CHAT}", "api_base": BASE_URL.removesuffix("/v1")}
    whole = litellm.completion(**asked)
    chunks = list(litellm.completion(**asked, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content != ""


def test_errors():
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**ASKED, "model": "openai/nobody"})
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**{**ASKED, "api_key": "sk-wrong"})
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**{**ASKED, "messages": [{"role": "user", "content": "word " * 20_000}]})
