"""pydantic-ai on any model: texts, streams, and typed answers by tools and by schemas."""

from typing import Literal

import pydantic
import pytest
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from gateway import BASE_URL, CHAT, KEY

QUESTION = "What is the capital of France?"
SETTINGS = {"temperature": 0, "max_tokens": 100}


class City(pydantic.BaseModel):
    name: Literal["Paris", "Rome"]
    capital: bool


def model(name=CHAT):
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=BASE_URL, api_key=KEY))


@pytest.mark.anyio
async def test_text_and_the_same_streamed():
    agent = Agent(model(), model_settings=SETTINGS)
    whole = await agent.run(QUESTION)
    assert whole.output and whole.usage.output_tokens > 0
    async with agent.run_stream(QUESTION) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True)]
    assert "".join(pieces) == whole.output


@pytest.mark.anyio
@pytest.mark.parametrize("output", [NativeOutput(City), ToolOutput(City)], ids=["schema", "tool"])
async def test_a_typed_answer(output):
    agent = Agent(model(), output_type=output, model_settings=SETTINGS)
    assert isinstance((await agent.run(QUESTION)).output, City)
