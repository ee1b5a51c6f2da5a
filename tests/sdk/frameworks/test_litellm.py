"""Documents put in order through LiteLLM, as clients of vLLM, Cohere and Jina ask for it."""

import litellm
import pytest

from gateway import BASE_URL, CHAT, KEY

MODEL = "sdk-reranker"
DOCUMENTS = ["blue whale", "a red fox", "red deer"]
ASKED = {"query": "red fox", "documents": DOCUMENTS, "api_key": KEY, "timeout": 30}
# Each provider has its own path behind the base URL.
PROVIDERS = {"hosted_vllm": BASE_URL, "cohere": BASE_URL.removesuffix("/v1") + "/v2/rerank", "jina_ai": f"{BASE_URL}/rerank"}


def told(answer):
    return [(result["index"], result["relevance_score"]) for result in answer.results]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_rerank(provider):
    asked = {**ASKED, "model": f"{provider}/{MODEL}", "api_base": PROVIDERS[provider]}
    assert told(litellm.rerank(**asked)) == [(1, 1.0), (2, 0.5), (0, 0.0)]
    assert told(litellm.rerank(**asked, top_n=1)) == [(1, 1.0)]


def test_documents_and_usage():
    answer = litellm.rerank(**ASKED, model=f"hosted_vllm/{MODEL}", api_base=BASE_URL)
    assert [result["document"]["text"] for result in answer.results] == ["a red fox", "red deer", "blue whale"]
    assert answer.meta["tokens"]["input_tokens"] > 0 or answer.meta["billed_units"]["total_tokens"] > 0


@pytest.mark.anyio
async def test_without_waiting():
    answer = await litellm.arerank(**ASKED, model=f"hosted_vllm/{MODEL}", api_base=BASE_URL)
    assert told(answer)[0] == (1, 1.0)


def test_a_model_that_does_not_score():
    with pytest.raises(Exception, match="not allowed to rerank"):
        litellm.rerank(**ASKED, model=f"hosted_vllm/{CHAT}", api_base=BASE_URL)
