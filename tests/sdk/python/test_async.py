"""The asynchronous client, over everything that the other files test of the synchronous one."""

import asyncio

import httpx2
import openai
import pydantic
import pytest

from gateway import (
    BASE_URL, CHAT, EMBEDDING, KEY, NOBODY_LISTENS, OWN, REQUEST_ID, SUSPENDED_KEY, AsyncTransport, say, user,
)

pytestmark = pytest.mark.anyio

LONG = user("[[tokens=600]][[delay=50ms]]")


class Person(pydantic.BaseModel):
    name: str
    age: int


async def free(engine):
    """The engine's figures are read in a thread, so that this one goes on."""
    await asyncio.to_thread(engine.wait_until, running=0, seconds=1)


async def busy(engine):
    await asyncio.to_thread(engine.wait_until, running=1, seconds=5)


async def test_chat(aclient):
    completion = await aclient.chat.completions.create(model=CHAT, messages=say("Hello there"))
    assert completion.choices[0].message.content == "Hello there"
    assert REQUEST_ID.fullmatch(completion._request_id)


async def test_many_at_once(aclient):
    async def ask(number):
        completion = await aclient.chat.completions.create(model=CHAT, messages=say(f"Number {number}"))
        return completion.choices[0].message.content

    assert await asyncio.gather(*map(ask, range(50))) == [f"Number {number}" for number in range(50)]


async def test_chat_stream(aclient):
    stream = await aclient.chat.completions.create(
        model=CHAT, messages=say("one two three"), stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"
    assert last.usage.completion_tokens == 3


async def test_stream_helper(aclient):
    async with aclient.chat.completions.stream(
        model=CHAT, messages=say('{"name": "Ada", "age": 36}'), response_format=Person
    ) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_completion()
    assert {event.type for event in events} == {"chunk", "content.delta", "content.done"}
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


async def test_parse(aclient):
    completion = await aclient.chat.completions.parse(model=CHAT, messages=user("Who?"), response_format=Person)
    assert isinstance(completion.choices[0].message.parsed, Person)
    with pytest.raises(openai.LengthFinishReasonError):
        await aclient.chat.completions.parse(model=CHAT, messages=user("Who?"), response_format=Person, max_tokens=1)


async def test_forced_call(aclient):
    tool = openai.pydantic_function_tool(Person)
    completion = await aclient.chat.completions.parse(
        model=CHAT,
        messages=user("Who?"),
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "Person"}},
    )
    assert isinstance(completion.choices[0].message.tool_calls[0].function.parsed_arguments, Person)


async def test_completions(aclient):
    completion = await aclient.completions.create(model=CHAT, prompt=["[[say:a]]", "[[say:b]]"])
    assert [choice.text for choice in completion.choices] == ["a", "b"]
    stream = await aclient.completions.create(model=CHAT, prompt="[[say:one two]]", stream=True)
    assert "".join([choice.text async for chunk in stream for choice in chunk.choices]) == "one two"


async def test_embeddings(aclient):
    answer = await aclient.embeddings.create(model=EMBEDDING, input=["a", "b"])
    assert [(item.index, len(item.embedding)) for item in answer.data] == [(0, 384), (1, 384)]


async def test_models(aclient):
    assert CHAT in [model.id async for model in aclient.models.list()]
    assert (await aclient.models.retrieve(OWN)).id == OWN


async def test_raw(aclient):
    raw = await aclient.chat.completions.with_raw_response.create(model=CHAT, messages=say("Hello"))
    assert REQUEST_ID.fullmatch(raw.headers["x-request-id"])
    assert raw.parse().choices[0].message.content == "Hello"


async def test_streaming_response(aclient):
    asked = {"model": CHAT, "messages": say("one two"), "stream": True}
    async with aclient.chat.completions.with_streaming_response.create(**asked) as response:
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    "kind, asked",
    [
        (openai.BadRequestError, {"temperature": 9}),
        (openai.NotFoundError, {"model": "nope"}),
        (openai.InternalServerError, {"messages": user("[[fault:internal]]")}),
        (openai.APITimeoutError, {"messages": user("[[first=5s]]"), "timeout": 0.3}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_errors(aclient, kind, asked):
    with pytest.raises(kind):
        await aclient.chat.completions.create(**{"model": CHAT, "messages": say("x"), **asked})


async def test_permission_denied(aclient):
    with pytest.raises(openai.PermissionDeniedError):
        await aclient.embeddings.create(model=CHAT, input="x")


async def test_wrong_key(aclient):
    with pytest.raises(openai.AuthenticationError):
        await aclient.with_options(api_key="sk-wrong").models.list()


async def test_no_quota(aclient):
    with pytest.raises(openai.RateLimitError) as caught:
        await aclient.with_options(api_key=SUSPENDED_KEY).chat.completions.create(model=CHAT, messages=say("x"))
    assert caught.value.code == "insufficient_quota"


async def test_nobody_there(aclient):
    with pytest.raises(openai.APIConnectionError):
        await aclient.with_options(base_url=NOBODY_LISTENS).models.list()


async def test_error_in_a_stream(aclient):
    stream = await aclient.chat.completions.create(
        model=CHAT, messages=user("[[tokens=9]][[fault:die_after=3]]"), stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass
    assert type(caught.value) is openai.APIError


async def test_retries():
    transport = AsyncTransport()
    async with openai.AsyncOpenAI(
        base_url=BASE_URL, api_key=KEY, max_retries=1, http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model=CHAT, messages=user("[[fault:internal]]"))
    assert transport.answers.statuses == [500, 500]


async def test_closing_a_stream_frees_the_engine(aclient, own_engine):
    stream = await aclient.chat.completions.create(model=OWN, messages=LONG, stream=True)
    await anext(aiter(stream))
    await busy(own_engine)
    await stream.close()
    await free(own_engine)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_cancelling_frees_the_engine(aclient, own_engine, stream):
    async def ask():
        answer = await aclient.chat.completions.create(model=OWN, messages=LONG, stream=stream)
        async for _ in answer:
            pass

    asking = asyncio.create_task(ask())
    await busy(own_engine)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await free(own_engine)
