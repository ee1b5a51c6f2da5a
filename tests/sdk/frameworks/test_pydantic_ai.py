"""pydantic-ai's agent: the loop of call, result and answer, and the errors."""

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError

from gateway import AGENT, calling, say
from test_any_model_pydantic_ai import model


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_agent_calls_and_answers(streamed):
    agent, calls = Agent(model(AGENT)), []

    # What is said goes before what a strict schema would make of it.
    @agent.tool_plain(strict=False)
    def get_weather(city: str) -> str:
        """Tells the weather of a city."""
        calls.append(city)
        return f"It is warm. {say('Warm in Rome.')}"

    prompt = calling("get_weather", '{"city": "Rome"}')
    if streamed:
        async with agent.run_stream(prompt) as stream:
            output = await stream.get_output()
    else:
        output = (await agent.run(prompt)).output
    assert output == "Warm in Rome." and calls == ["Rome"]


@pytest.mark.anyio
async def test_an_error():
    with pytest.raises(ModelHTTPError) as caught:
        await Agent(model("nobody")).run("hi")
    assert caught.value.status_code == 404 and caught.value.body["code"] == "model_not_found"
