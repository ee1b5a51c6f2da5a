"""LlamaIndex, pydantic-ai, instructor and LiteLLM against a running gateway; tests/sdk/run.sh starts it and sets the
environment, as for the tests beside these.

Only test_any_model*.py hold for any model; the others order fake engines about, by directives in the prompt.
"""

import pytest

import gateway


def pytest_configure(config):
    if not all((gateway.BASE_URL, gateway.KEY, gateway.CHAT, gateway.EMBEDDING)):
        raise pytest.UsageError("the environment is not set; start these tests with tests/sdk/run.sh")


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
