"""POST /v1/embeddings."""

import base64
import math
import struct

import openai
import pytest

PATH = "/v1/embeddings"


def embed(gateway, embedding_model, texts, **more):
    response = gateway.post(PATH, {"model": embedding_model, "input": texts, **more})
    assert response.status_code == 200, response.text
    return response.json()


def cosine(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_shape(gateway, embedding_model):
    reply = embed(gateway, embedding_model, ["hello", "world"])
    assert reply.keys() == {"object", "data", "model", "usage"}
    assert (reply["object"], reply["model"]) == ("list", embedding_model)
    assert [(item["object"], item["index"]) for item in reply["data"]] == [("embedding", 0), ("embedding", 1)]
    assert all(item.keys() == {"object", "index", "embedding"} for item in reply["data"])
    assert reply["usage"].keys() == {"prompt_tokens", "total_tokens"}
    assert reply["usage"]["prompt_tokens"] == reply["usage"]["total_tokens"] >= 2
    for item in reply["data"]:
        assert math.sqrt(cosine(item["embedding"], item["embedding"])) == pytest.approx(1, abs=1e-3)


def test_official_client(client, embedding_model):
    """It asks for base64 unless told otherwise, and reads that back as numbers."""
    default = client.embeddings.create(model=embedding_model, input="hello").data[0].embedding
    plain = client.embeddings.create(model=embedding_model, input="hello", encoding_format="float").data[0].embedding
    assert len(default) > 100
    assert default == pytest.approx(plain, abs=1e-3)


def test_base64_is_little_endian_floats(gateway, embedding_model):
    encoded = embed(gateway, embedding_model, "hello", encoding_format="base64")["data"][0]["embedding"]
    plain = embed(gateway, embedding_model, "hello", encoding_format="float")["data"][0]["embedding"]
    raw = base64.b64decode(encoded, validate=True)
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(plain, abs=1e-3)


def test_a_list_keeps_its_order(gateway, embedding_model):
    texts = ["a cat on a mat", "stock prices fell", "a kitten on a rug"]
    together = [item["embedding"] for item in embed(gateway, embedding_model, texts)["data"]]
    for text, vector in zip(texts, together, strict=True):
        [alone] = embed(gateway, embedding_model, text)["data"]
        assert cosine(alone["embedding"], vector) > 0.99
    cat, stocks, kitten = together
    assert cosine(cat, kitten) > cosine(cat, stocks) + 0.1


@pytest.mark.parametrize("wrong", ["", [], {"a": 1}, 7], ids=repr)
def test_wrong_input(client, gateway, embedding_model, wrong):
    response = gateway.post(PATH, {"model": embedding_model, "input": wrong})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_too_long(client, embedding_model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=embedding_model, input="word " * 20_000)
    assert "maximum context length" in caught.value.body["message"]


def test_model_that_does_not_embed(gateway, embedding_model):
    if embedding_model == gateway.model:
        pytest.skip("the one model does both")
    response = gateway.post(PATH, {"model": gateway.model, "input": "hello"})
    assert response.status_code == 403, response.text
    assert response.json()["error"]["message"] == "You are not allowed to generate embeddings from this model"


def test_chat_with_a_model_that_embeds(gateway, engine, embedding_model):
    if engine.kind == "llama_cpp":
        pytest.skip("llama.cpp lets any model do both")
    response = gateway.post("/v1/chat/completions", gateway.chat_body(model=embedding_model))
    assert response.status_code in (403, 404), response.text
    assert response.json()["error"]["type"] == "invalid_request_error"
