"""POST /tokenize, POST /detokenize, POST /v1/rerank and POST /v1/score with real engines."""

import pytest

# SmolLM2's, which no other model has.
HELLO = [19556, 905, 17]  # Hello, world, !
CHAT = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def tokenize(gateway, **body):
    response = gateway.post("/tokenize", {"model": gateway.model, **body})
    assert response.status_code == 200, response.text
    reply = response.json()
    assert reply.keys() == {"count", "max_model_len", "tokens", "token_strs"}
    assert (reply["count"], reply["max_model_len"]) == (len(reply["tokens"]), 2048)
    return reply


def detokenize(gateway, tokens):
    response = gateway.post("/detokenize", {"model": gateway.model, "tokens": tokens})
    assert response.status_code == 200, response.text
    assert response.json().keys() == {"prompt"}
    return response.json()["prompt"]


def test_a_text(gateway):
    reply = tokenize(gateway, prompt="Hello world!")
    assert (reply["tokens"], reply["token_strs"]) == (HELLO, None)
    assert detokenize(gateway, HELLO) == "Hello world!"


@pytest.mark.parametrize("text", ["naïve 日本語 🦀", " two  blanks ", "<|im_start|>x", "a\nb\tc"])
def test_there_and_back(gateway, text):
    assert detokenize(gateway, tokenize(gateway, prompt=text)["tokens"]) == text


def test_texts_of_tokens(gateway, engine):
    strings = tokenize(gateway, prompt="Hello world!", return_token_strs=True)["token_strs"]
    assert strings == ["Hello", {"vllm": "Ġworld", "llama_cpp": " world"}[engine.kind], "!"]
    assert len(tokenize(gateway, prompt="🦀", return_token_strs=True)["token_strs"]) > 1


def test_a_chat_is_the_tokens_of_its_prompt(gateway):
    """The same as the engine counts for the chat itself, which the usage line tells; here it is read back."""
    reply = tokenize(gateway, messages=[{"role": "user", "content": "Hello"}])
    prompt = detokenize(gateway, reply["tokens"])
    assert prompt.endswith(CHAT), prompt
    closed = tokenize(gateway, messages=[{"role": "user", "content": "Hello"}], add_generation_prompt=False)
    assert detokenize(gateway, closed["tokens"]) == prompt.removesuffix("<|im_start|>assistant\n")


def test_tokens_that_the_model_does_not_have(gateway):
    response = gateway.post("/detokenize", {"model": gateway.model, "tokens": [99_999_999]})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_long_text(gateway):
    assert tokenize(gateway, prompt="word " * 50_000)["count"] > 50_000


def test_documents_in_order(gateway, engine, embedding_model):
    """vLLM scores with any model that embeds; llama.cpp's has not learnt to, so that only its order and its shape are looked at."""
    model = {"vllm": embedding_model, "llama_cpp": "smollm2-135m-reranker"}[engine.kind]
    documents = ["The stock market fell.", "A kitten sleeps on a rug.", "Paris is in France."]
    body = {"model": model, "query": "a sleeping cat", "documents": documents}
    response = gateway.post("/v1/rerank", body)
    assert response.status_code == 200, response.text
    reply = response.json()
    results = reply["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert [result["document"]["text"] for result in results] == [documents[result["index"]] for result in results]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[2]
    assert reply["usage"]["prompt_tokens"] == reply["usage"]["total_tokens"] > 20
    if engine.kind == "vllm":
        assert results[0]["index"] == 1 and scores[0] > scores[1] + 0.1

    scored = gateway.post("/v1/score", {"model": model, "text_1": "a sleeping cat", "text_2": documents}).json()["data"]
    assert [entry["index"] for entry in scored] == [0, 1, 2]
    for result in results:
        assert scored[result["index"]]["score"] == pytest.approx(result["relevance_score"], abs=1e-3)
    assert len(gateway.post("/v1/rerank", {**body, "top_n": 1}).json()["results"]) == 1

    too_long = gateway.post("/v1/rerank", {**body, "documents": ["word " * 5000]})
    assert too_long.status_code == 400 and "maximum context length" in too_long.text, too_long.text
    cut = gateway.post("/v1/rerank", {**body, "documents": ["word " * 5000], "truncate_prompt_tokens": -1})
    assert cut.status_code == {"vllm": 200, "llama_cpp": 400}[engine.kind], cut.text


def test_models_that_do_not_score(gateway, engine, embedding_model):
    others = [gateway.model] if engine.kind == "vllm" else [gateway.model, embedding_model]
    for model in others:
        response = gateway.post("/v1/rerank", {"model": model, "query": "a", "documents": ["b"]})
        assert response.status_code == 403, response.text
    if engine.kind == "llama_cpp":
        reranker = "smollm2-135m-reranker"
        assert gateway.post("/v1/embeddings", {"model": reranker, "input": "a"}).status_code == 403
        assert gateway.post("/v1/chat/completions", gateway.chat_body(model=reranker)).status_code == 403
