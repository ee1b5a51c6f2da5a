"""LlamaIndex's agent: the loop of call, result and answer."""

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.tools import FunctionTool

from gateway import AGENT, calling, say
from test_any_model_llamaindex import connect


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It is warm in {city}."


def test_a_call_that_the_model_chooses_whole_and_streamed():
    llm, tool = connect(AGENT), FunctionTool.from_defaults(get_weather)
    asked = {"tools": [tool], "user_msg": calling("get_weather", '{"city": "Rome"}')}
    *_, streamed = llm.stream_chat_with_tools(**asked)
    for response in (llm.chat_with_tools(**asked), streamed):
        [call] = llm.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Rome"})
    told = llm.predict_and_call(**asked)
    assert str(told) == "It is warm in Rome."


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
