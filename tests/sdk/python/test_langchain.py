"""LangChain on the gateway: chats, structured output by every method, and tools up to the final answer.

What is not ordered is the smallest value that fits the schema.
"""

import json
import re
from typing import Literal, Optional, TypedDict

import openai
import pydantic
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import OpenAIEmbeddings

from gateway import BASE_URL, EMBEDDING, KEY, SUSPENDED_KEY
from langchain_client import accumulated, chat, get_weather

# Its template shows tools, and its calls and reasoning are read.
AGENT = "sdk-agent"
MODEL = chat(AGENT)
CALL_ID = re.compile(r"call_[A-Za-z0-9]{24}")


class Wheel(pydantic.BaseModel):
    size: float


class Cart(pydantic.BaseModel):
    """Whatever Pydantic turns into schemas: references, enums, defaults, optional and nested ones."""

    kind: Literal["hand", "horse"]
    wheels: list[Wheel] = pydantic.Field(min_length=2, max_length=4)
    owner: Optional[str] = None
    licensed: bool = pydantic.Field(description="Whether it may be on the road.")


class StrictCart(pydantic.BaseModel):
    """Without what strict schemas may not have."""

    kind: Literal["hand", "horse"]
    wheels: list[Wheel]
    owner: Optional[str]


class Person(TypedDict):
    """Somebody."""

    name: str
    age: int


PERSON_SCHEMA = {
    "title": "Person",
    "description": "Somebody.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
ADA = 'JSON, please. [[say:{"name": "Ada", "age": 36}]]'


def written(*calls):
    """A prompt that has the calls made in the model's own notation, between words of its own."""
    text = "\n".join(f"<tool_call>\n{json.dumps({'name': name, 'arguments': given})}\n</tool_call>" for name, given in calls)
    return f"[[say:<think>Which tool?</think>Let me see.{text}]]"


WARM = written(("get_weather", {"city": "Paris", "days": 2}))


def test_a_chat():
    answer = MODEL.invoke([SystemMessage("Be kind."), HumanMessage("[[say:Hello there]]")])
    assert (answer.content, answer.tool_calls) == ("Hello there", [])
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["model_name"] == AGENT
    usage = answer.usage_metadata
    assert usage["output_tokens"] == 2 and usage["total_tokens"] == usage["input_tokens"] + 2


@pytest.mark.parametrize("options", [{"stream_usage": True}, {"stream_options": {"include_usage": True}}, {}])
def test_a_streamed_chat(options):
    chunks = list(MODEL.stream("[[say:Hello there]]", **options))
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    answer = accumulated(chunks)
    assert answer.content == "Hello there" and len([chunk for chunk in chunks if chunk.content]) > 1
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata == (MODEL.invoke("[[say:Hello there]]").usage_metadata if options else None)


@pytest.mark.anyio
async def test_asynchronous_chats(own_http):
    model = chat(AGENT, http_async_client=own_http)
    assert (await model.ainvoke("[[say:Hello there]]")).content == "Hello there"
    chunks = [chunk async for chunk in model.astream("[[say:Hello there]]", stream_usage=True)]
    assert accumulated(chunks).content == "Hello there" and accumulated(chunks).usage_metadata["output_tokens"] == 2
    answers = await model.abatch([f"[[say:Number {number}]]" for number in range(20)])
    assert [answer.content for answer in answers] == [f"Number {number}" for number in range(20)]


def test_the_sampling_it_offers():
    model = chat(AGENT, temperature=0.5, top_p=0.9, seed=7, n=2, logprobs=True, top_logprobs=2, max_tokens=3, stop=["x"])
    [answers] = model.generate([[HumanMessage("[[say:Hello there]]")]]).generations
    assert [answer.message.content for answer in answers] == ["Hello there"] * 2
    logprobs = answers[0].message.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in logprobs) == "Hello there" and len(logprobs[0]["top_logprobs"]) == 2
    assert model.invoke("[[say:one x two]]", n=1).content == "one "
    assert chat(AGENT, max_tokens=1).invoke("[[say:Hello there]]").response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize(
    "method, options, kind",
    [
        ("json_schema", {}, Cart),
        ("json_schema", {"strict": True}, StrictCart),
        ("json_schema", {"strict": False}, Cart),
        ("function_calling", {}, Cart),
        ("function_calling", {"strict": True}, StrictCart),
        ("function_calling", {"strict": False}, Cart),
    ],
)
# Its streams of typed answers warn about LangChain's own types, in front of any server.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_structured_output(method, options, kind):
    structured = MODEL.with_structured_output(kind, method=method, **options)
    cart = structured.invoke("A cart, please.")
    assert isinstance(cart, kind) and cart.kind == "hand"
    assert list(structured.stream("A cart, please."))[-1] == cart
    told = MODEL.with_structured_output(kind, method=method, include_raw=True, **options).invoke("A cart, please.")
    assert (told["parsed"], told["parsing_error"]) == (cart, None)
    assert bool(told["raw"].tool_calls) == (method == "function_calling")
    assert told["raw"].usage_metadata["output_tokens"] > 0


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_asynchronous_structured_output(method, own_http):
    structured = chat(AGENT, http_async_client=own_http).with_structured_output(Cart, method=method)
    cart = await structured.ainvoke("A cart, please.")
    assert isinstance(cart, Cart)
    assert [part async for part in structured.astream("A cart, please.")][-1] == cart


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("schema", [PERSON_SCHEMA, Person], ids=["JSON Schema", "TypedDict"])
def test_structured_output_as_a_dictionary(method, schema):
    structured = MODEL.with_structured_output(schema, method=method)
    person = structured.invoke("Who?")
    assert person.keys() == {"name", "age"}
    *_, last = parts = list(structured.stream("Who?"))
    assert last == person and len(parts) > 1, "parts are parsed as they come"


def test_json_mode():
    structured = MODEL.with_structured_output(PERSON_SCHEMA, method="json_mode")
    assert structured.invoke(ADA) == {"name": "Ada", "age": 36}
    assert list(structured.stream(ADA))[-1] == {"name": "Ada", "age": 36}
    with pytest.raises(openai.BadRequestError, match="must contain the word 'json'"):
        structured.invoke("Who?")


def test_structured_output_or_a_tool():
    """Offered both, the model chooses."""
    structured = MODEL.with_structured_output(
        StrictCart, method="json_schema", tools=[get_weather], strict=True, include_raw=True
    )
    told = structured.invoke('[[say:{"kind": "horse", "wheels": [], "owner": null}]]')
    assert told["parsed"] == StrictCart(kind="horse", wheels=[], owner=None) and told["raw"].tool_calls == []
    # As it writes calls where it is held to a schema.
    told = structured.invoke('[[say:[{"name": "get_weather", "parameters": {"city": "Rome", "days": 1}}] ]]')
    assert (told["parsed"], told["parsing_error"]) == (None, None)
    [call] = told["raw"].tool_calls
    check_call(call, {"city": "Rome", "days": 1})


def test_structured_output_cut_short():
    with pytest.raises(openai.LengthFinishReasonError):
        chat(AGENT, max_tokens=1).with_structured_output(Cart, method="json_schema").invoke("A cart, please.")


def check_call(call, given):
    assert CALL_ID.fullmatch(call["id"]) and call == {
        "name": "get_weather", "args": given, "id": call["id"], "type": "tool_call",
    }


def test_a_tool_is_called_and_answered():
    """The loop that agents are made of: the model calls, the tool answers, the model goes on."""
    model = MODEL.bind_tools([get_weather])
    messages = [HumanMessage(WARM)]
    asked = model.invoke(messages)
    assert asked.content == "Let me see." and asked.response_metadata["finish_reason"] == "tool_calls"
    [call] = asked.tool_calls
    check_call(call, {"city": "Paris", "days": 2})
    told = get_weather.invoke(call)
    assert isinstance(told, ToolMessage)
    answer = model.invoke([*messages, asked, told])
    assert (answer.content, answer.tool_calls) == ("It is warm in Paris for 2 days.", [])
    assert answer.response_metadata["finish_reason"] == "stop"


def test_a_streamed_tool_is_called_and_answered():
    model = MODEL.bind_tools([get_weather])
    messages = [HumanMessage(f"{WARM}[[cut=3]]")]
    chunks = list(model.stream(messages, stream_usage=True))
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert [piece["name"] for piece in pieces if piece["name"]] == ["get_weather"]
    assert len([piece for piece in pieces if piece["args"]]) > 1
    asked = accumulated(chunks)
    assert asked.content == "Let me see."
    [call] = asked.tool_calls
    check_call(call, {"city": "Paris", "days": 2})
    assert asked.response_metadata["finish_reason"] == "tool_calls" and asked.usage_metadata["output_tokens"] > 0
    answer = accumulated(model.stream([*messages, asked, get_weather.invoke(call)]))
    assert answer.content == "It is warm in Paris for 2 days."


@pytest.mark.anyio
async def test_asynchronous_tools(own_http):
    model = chat(AGENT, http_async_client=own_http).bind_tools([get_weather])
    whole = await model.ainvoke(WARM)
    streamed = accumulated([chunk async for chunk in model.astream(WARM)])
    for message in (whole, streamed):
        check_call(message.tool_calls[0], {"city": "Paris", "days": 2})


@pytest.mark.anyio
async def test_events_of_a_chain(own_http):
    """What LangGraph and LangServe follow: the events of a model, and of the tools around it."""
    model = chat(AGENT, http_async_client=own_http).bind_tools([get_weather])
    events = [event async for event in model.astream_events(WARM, version="v2")]
    assert [event["event"] for event in events][:1] + [events[-1]["event"]] == ["on_chat_model_start", "on_chat_model_end"]
    pieces = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    [call] = accumulated(pieces).tool_calls
    check_call(call, {"city": "Paris", "days": 2})
    assert events[-1]["data"]["output"].tool_calls == [call]


def test_several_calls_at_once():
    both = written(("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome", "days": 3}))
    model = MODEL.bind_tools([get_weather])
    for message in (model.invoke(both), accumulated(model.stream(f"{both}[[cut=2]]"))):
        assert [call["args"] for call in message.tool_calls] == [{"city": "Paris"}, {"city": "Rome", "days": 3}]
        assert len({call["id"] for call in message.tool_calls}) == 2
    one = MODEL.bind_tools([get_weather], parallel_tool_calls=False).invoke(both)
    assert [call["args"] for call in one.tool_calls] == [{"city": "Paris"}]


def test_a_strict_tool_is_called_with_what_its_schema_allows():
    """Also where the model calls of its own accord, and would call with something else."""
    wrong = written(("get_weather", {"city": 5, "when": "now"})).replace("[[say:", "[[free:")
    model = MODEL.bind_tools([get_weather], strict=True, parallel_tool_calls=False)
    for message in (model.invoke(wrong), accumulated(model.stream(f"{wrong}[[cut=3]]"))):
        assert message.content == "Let me see."
        [call] = message.tool_calls
        check_call(call, {"city": "a", "days": 0})
    # Nothing is promised of others.
    [call] = MODEL.bind_tools([get_weather]).invoke(wrong).tool_calls
    check_call(call, {"city": 5, "when": "now"})


@pytest.mark.parametrize("strict", [None, True, False], ids=["", "strict", "not strict"])
@pytest.mark.parametrize("choice", ["any", "required", True, "get_weather"])
def test_a_tool_that_must_be_called(choice, strict):
    model = MODEL.bind_tools([get_weather], tool_choice=choice, strict=strict, parallel_tool_calls=False)
    for message in (model.invoke("Is it warm?"), accumulated(model.stream("Is it warm?"))):
        [call] = message.tool_calls
        # Strict schemas require all their members.
        check_call(call, {"city": "a", "days": 0} if strict else {"city": "a"})
        assert message.content == ""
        assert message.response_metadata["finish_reason"] == ("stop" if choice == "get_weather" else "tool_calls")


def test_a_tool_that_may_not_be_called():
    for message in (
        MODEL.bind_tools([get_weather], tool_choice="none").invoke(WARM),
        chat(AGENT).invoke(WARM),
    ):
        assert message.tool_calls == [] and "<tool_call>" in message.content


def test_whatever_is_in_the_history():
    """Contents in parts, a tool that failed, and a call whose arguments were never JSON."""
    broken = {"type": "invalid_tool_call", "name": "get_weather", "args": '{"city', "id": "call_2", "error": None}
    answer = MODEL.bind_tools([get_weather]).invoke([
        SystemMessage([{"type": "text", "text": "Be kind."}]),
        HumanMessage("Is it warm?", name="ada"),
        AIMessage("", tool_calls=[{"type": "tool_call", "name": "get_weather", "args": {"city": "x"}, "id": "call_1"}]),
        ToolMessage("no such city", tool_call_id="call_1", status="error"),
        AIMessage([{"type": "text", "text": "Hm."}], invalid_tool_calls=[broken]),
        ToolMessage([{"type": "text", "text": "[[say:I do not know.]]"}], tool_call_id="call_2"),
    ])
    assert (answer.content, answer.tool_calls) == ("I do not know.", [])


def test_tools_reach_the_model():
    """A description has the order in it."""

    @tool
    def sing(text: str) -> None:
        """Sings. [[say:I can sing.]]"""

    assert MODEL.bind_tools([sing]).invoke("What can you do?").content == "I can sing."
    assert MODEL.bind_tools([sing], tool_choice="none").invoke("[[say:Nothing]]").content == "Nothing"


def test_errors():
    with pytest.raises(openai.NotFoundError):
        chat("nope").invoke("x")
    with pytest.raises(openai.BadRequestError) as caught:
        MODEL.invoke("word " * 20_000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.RateLimitError):
        chat(AGENT, api_key=SUSPENDED_KEY).invoke("x")
    with pytest.raises(openai.APIError):
        list(MODEL.stream("[[tokens=9]][[fault:die_after=3]]"))
    # Named, and refused before anything is generated.
    odd = {**PERSON_SCHEMA, "properties": {"name": {"type": "foo"}}}
    with pytest.warns(UserWarning, match="Invalid schema"), pytest.raises(openai.BadRequestError):
        MODEL.with_structured_output(odd, method="json_schema").invoke("Who?")


def test_embeddings():
    # Without its own counting of tokens, for which it fetches a vocabulary from elsewhere.
    embeddings = OpenAIEmbeddings(model=EMBEDDING, base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False)
    assert [len(vector) for vector in embeddings.embed_documents(["a cat", "a dog"])] == [384, 384]
    assert embeddings.embed_query("a cat") == pytest.approx(embeddings.embed_documents(["a cat"])[0])
