"""LlamaIndex's agent: the loop of call, result and answer."""

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.tools import FunctionTool

from gateway import AGENT, calling, say
from test_any_model_llamaindex import connect


@pytest.mark.anyio
async def test_an_agent_calls_and_answers():
    calls = []

    def get_weather(city: str) -> str:
        """Tells the weather of a city."""
        calls.append(city)
        return f"It is warm. {say('Warm in Rome.')}"

    agent = FunctionAgent(tools=[FunctionTool.from_defaults(get_weather)], llm=connect(AGENT), streaming=True)
    run = agent.run(calling("get_weather", '{"city": "Rome"}'))
    streamed = [event.delta async for event in run.stream_events() if isinstance(event, AgentStream)]
    assert str(await run) == "Warm in Rome." and calls == ["Rome"]
    assert "".join(streamed).endswith("Warm in Rome.")
