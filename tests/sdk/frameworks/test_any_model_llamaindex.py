"""LlamaIndex on any model: chats, streams, typed answers, forced calls, embeddings, and answers about documents."""

from typing import Literal

import pydantic
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

from gateway import BASE_URL, CHAT, EMBEDDING, KEY

ASKED = [ChatMessage("You are a helpful assistant.", role="system"), ChatMessage("What is the capital of France?", role="user")]


class City(pydantic.BaseModel):
    """A city."""

    name: Literal["Paris", "Rome"]
    capital: bool


def connect(model=CHAT, **options):
    return OpenAILike(
        model=model, api_base=BASE_URL, api_key=KEY, is_chat_model=True, is_function_calling_model=True,
        context_window=2048, max_tokens=60, temperature=0, max_retries=0, timeout=30, **options,
    )


@pytest.fixture(scope="module")
def llm():
    return connect()


@pytest.fixture(scope="module")
def embedding():
    return OpenAILikeEmbedding(model_name=EMBEDDING, api_base=BASE_URL, api_key=KEY, max_retries=0)


def test_chat_and_the_same_streamed(llm):
    whole = llm.chat(ASKED)
    assert whole.message.content
    *_, last = llm.stream_chat(ASKED)
    assert last.message.content == whole.message.content


@pytest.mark.anyio
async def test_asynchronous(llm):
    whole = await llm.achat(ASKED)
    pieces = [piece.delta async for piece in await llm.astream_chat(ASKED)]
    assert "".join(pieces) == whole.message.content


def test_completion(llm):
    assert llm.complete("The capital of France is").text


def test_a_typed_answer(llm):
    city = llm.structured_predict(City, PromptTemplate("Tell a city: {hint}"), hint="in France")
    assert isinstance(city, City)


def test_a_forced_call(llm):
    def tell_city(name: str) -> str:
        """Tells a city."""
        return f"It is {name}."

    tool = FunctionTool.from_defaults(tell_city)
    response = llm.chat_with_tools([tool], user_msg="Tell the city Paris.", tool_required=True)
    [call, *_] = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "tell_city" and isinstance(call.tool_kwargs["name"], str)
    assert tool.call(**call.tool_kwargs).content.startswith("It is ")


@pytest.mark.anyio
async def test_embeddings(embedding):
    one, two = embedding.get_text_embedding_batch(["a cat", "a dog"])
    assert len(one) == len(two) > 100
    assert await embedding.aget_query_embedding("a cat") == pytest.approx(one, abs=1e-3)


def test_answers_about_documents(llm, embedding):
    Settings.llm, Settings.embed_model = llm, embedding
    texts = ["Cats sleep all day.", "The tower of Pisa leans.", "Bread is made of flour."]
    index = VectorStoreIndex.from_documents([Document(text=text) for text in texts])
    engine = index.as_query_engine(similarity_top_k=2)
    answer = engine.query("What leans?")
    assert str(answer)
    found = [node.get_content() for node in answer.source_nodes]
    assert len(found) == 2 and set(found) <= set(texts)
