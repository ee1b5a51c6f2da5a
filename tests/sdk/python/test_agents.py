"""OpenAI's Agents SDK: an agent loop with a tool, typed output, and a conversation that the server keeps."""

import agents
import openai
import pydantic
import pytest

import gateway

CALL = '[[say:Let me see.<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>]]'


@pytest.fixture
def model():
    client = openai.AsyncOpenAI(base_url=gateway.BASE_URL, api_key=gateway.KEY, max_retries=0, timeout=30)
    # It would tell its maker of all that it does.
    agents.set_tracing_disabled(True)
    return agents.OpenAIResponsesModel("sdk-agent", client)


@agents.function_tool(strict_mode=False)
def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"[[say:It is warm in {city}.]]"


@pytest.mark.anyio
async def test_an_agent_with_a_tool(model):
    agent = agents.Agent(name="weatherman", instructions="Be kind.", model=model, tools=[get_weather])
    result = await agents.Runner.run(agent, CALL)
    assert result.final_output == "It is warm in Rome."
    assert len(result.raw_responses) == 2


@pytest.mark.anyio
async def test_streamed(model):
    agent = agents.Agent(name="weatherman", model=model, tools=[get_weather])
    result = agents.Runner.run_streamed(agent, CALL)
    events = [event async for event in result.stream_events()]
    names = [event.name for event in events if event.type == "run_item_stream_event"]
    assert "tool_called" in names and "tool_output" in names
    assert result.final_output == "It is warm in Rome."


@pytest.mark.anyio
async def test_typed_output(model):
    class City(pydantic.BaseModel):
        name: str
        capital: bool

    agent = agents.Agent(name="geographer", model=model, output_type=City)
    assert isinstance((await agents.Runner.run(agent, "A city, please.")).final_output, City)


@pytest.mark.anyio
async def test_a_conversation_that_the_server_keeps(model):
    agent = agents.Agent(name="friend", model=model)
    first = await agents.Runner.run(agent, "My name is Ada. [[say:Hello Ada.]]")
    second = await agents.Runner.run(
        agent, "Who am I? [[say:You are Ada.]]", previous_response_id=first.last_response_id
    )
    assert second.final_output == "You are Ada."
    tokens = [run.raw_responses[-1].usage.input_tokens for run in (first, second)]
    assert tokens[1] > 2 * tokens[0] - 10
