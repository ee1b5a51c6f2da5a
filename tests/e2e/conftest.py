"""End-to-end tests: a running gateway with a real engine behind it, seen as its clients see it.

    CLOUDACH_BASE_URL            the gateway, e.g. http://127.0.0.1:8080/v1
    CLOUDACH_API_KEY             a key that may use the models below
    CLOUDACH_MODEL               SmolLM2-135M-Instruct under whatever name: some tests know what it answers
    CLOUDACH_ADMIN_URL           the edge's admin address, e.g. http://127.0.0.1:9080
    CLOUDACH_ENGINE              llama_cpp or vllm: what it can be held to, and which figure below tells how many requests run
    CLOUDACH_ENGINE_METRICS_URL  the engine's own /metrics; several, for several engines, with commas between
    CLOUDACH_EMBEDDING_MODEL     optional: an embedding model; without it the tests of embeddings are skipped, and say so

    python -m pytest tests/e2e

Whatever else is missing ends the run: a test that was not run must not look like one that passed.
"""

import os

import httpx
import openai
import pytest

# Before they are imported: their assertions then say what was found, as those in the tests do.
pytest.register_assert_rewrite("gateway", "streams")

from gateway import Engine, Gateway  # noqa: E402

REQUIRED = (
    "CLOUDACH_BASE_URL",
    "CLOUDACH_API_KEY",
    "CLOUDACH_MODEL",
    "CLOUDACH_ADMIN_URL",
    "CLOUDACH_ENGINE",
    "CLOUDACH_ENGINE_METRICS_URL",
)


def pytest_configure(config):
    missing = [name for name in REQUIRED if not os.environ.get(name)]
    if missing:
        raise pytest.UsageError(f"not set: {', '.join(missing)} (tests/e2e/conftest.py says what each is for)")
    if not os.environ["CLOUDACH_BASE_URL"].rstrip("/").endswith("/v1"):
        raise pytest.UsageError("CLOUDACH_BASE_URL must end in /v1, as clients are given it")
    if os.environ["CLOUDACH_ENGINE"] not in Engine.RUNNING:
        raise pytest.UsageError(f"CLOUDACH_ENGINE must be one of {', '.join(Engine.RUNNING)}")


@pytest.fixture(scope="session")
def gateway():
    gateway = Gateway(
        base_url=os.environ["CLOUDACH_BASE_URL"].rstrip("/"),
        api_key=os.environ["CLOUDACH_API_KEY"],
        model=os.environ["CLOUDACH_MODEL"],
    )
    try:
        answer = gateway.post("/v1/chat/completions", gateway.chat_body(max_tokens=1))
    except httpx.HTTPError as error:
        pytest.exit(f"no gateway answers at {gateway.base_url}: {error!r}", returncode=1)
    # One reason instead of a hundred failures.
    if answer.status_code != 200:
        pytest.exit(f"the gateway does not answer a plain request: {answer.status_code} {answer.text}", returncode=1)
    return gateway


@pytest.fixture(scope="session")
def engine():
    return Engine(os.environ["CLOUDACH_ENGINE"], os.environ["CLOUDACH_ENGINE_METRICS_URL"].split(","))


@pytest.fixture(scope="session")
def admin():
    with httpx.Client(base_url=os.environ["CLOUDACH_ADMIN_URL"], timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def client(gateway):
    """The official client. It does not retry: what fails once is to be seen."""
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def embedding_model():
    model = os.environ.get("CLOUDACH_EMBEDDING_MODEL")
    if not model:
        pytest.skip("CLOUDACH_EMBEDDING_MODEL is not set: embeddings are NOT tested")
    return model
