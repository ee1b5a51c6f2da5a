"""embeddings.create."""

import math

import openai
import pytest

from gateway import CHAT, EMBEDDING, REQUEST_ID


def embed(client, texts, **more):
    return client.embeddings.create(model=EMBEDDING, input=texts, **more)


def vectors(client, texts, **more):
    return [item.embedding for item in embed(client, texts, **more).data]


def test_answer(client):
    answer = embed(client, "Hello there")
    assert (answer.object, answer.model) == ("list", EMBEDDING)
    [item] = answer.data
    assert (item.object, item.index, len(item.embedding)) == ("embedding", 0, 384)
    assert math.hypot(*item.embedding) == pytest.approx(1, abs=1e-4)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 2
    assert REQUEST_ID.fullmatch(answer._request_id)


def test_base64_is_what_the_client_asks_for_and_reads(client):
    raw = client.embeddings.with_raw_response.create(model=EMBEDDING, input="Hello")
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)
    decoded = raw.parse().data[0].embedding
    [plain] = vectors(client, "Hello", encoding_format="float")
    # Numbers of 32 bits, whichever way they come.
    assert decoded == pytest.approx(plain, abs=1e-7)


def test_order(client):
    texts = [f"text number {number}" for number in range(20)]
    answer = embed(client, texts)
    assert [item.index for item in answer.data] == list(range(20))
    for place in (0, 7, 19):
        assert answer.data[place].embedding == vectors(client, texts[place])[0]


def test_token_ids_mean_the_text(client):
    """As LangChain sends texts: in the tokens of cl100k_base, whatever the model."""
    [text] = vectors(client, "hello world")
    assert vectors(client, [15339, 1917]) == [text]
    assert vectors(client, [[15339, 1917], [15339]]) == [text, *vectors(client, "hello")]
    assert embed(client, [[15339, 1917], [15339]]).usage.prompt_tokens == 3


def test_dimensions_that_the_model_does_not_have(client):
    with pytest.raises(openai.BadRequestError) as caught:
        embed(client, "Hello", dimensions=8)
    assert caught.value.param == "dimensions"


@pytest.mark.parametrize("wrong", ["", [], ["fine", ""], ["x"] * 2049], ids=["empty", "none", "one empty", "too many"])
def test_wrong_input(client, wrong):
    with pytest.raises(openai.BadRequestError) as caught:
        embed(client, wrong)
    assert caught.value.type == "invalid_request_error"


def test_the_longest_list(client):
    assert len(embed(client, ["x"] * 2048).data) == 2048


def test_too_long(client):
    with pytest.raises(openai.BadRequestError, match="maximum context length is 2048 tokens"):
        embed(client, "word " * 2000)


def test_a_model_that_does_not_embed(client):
    with pytest.raises(openai.PermissionDeniedError, match="not allowed to generate embeddings from this model"):
        client.embeddings.create(model=CHAT, input="Hello")
