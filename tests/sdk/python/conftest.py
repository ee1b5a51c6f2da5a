"""openai-python and LangChain against a running gateway; tests/sdk/run.sh starts it and sets the environment.

    CLOUDACH_BASE_URL         the gateway, e.g. http://127.0.0.1:29501/v1
    CLOUDACH_API_KEY          a key that may use the models below
    CLOUDACH_MODEL            a model that chats
    CLOUDACH_EMBEDDING_MODEL  one that embeds

Only test_any_model*.py hold for any model; the others order fake engines about, by directives in the prompt.
"""

import openai
import pytest

# Before it is imported: its assertions then say what was found, as those in the tests do.
pytest.register_assert_rewrite("gateway")

import gateway  # noqa: E402


def pytest_configure(config):
    if not all((gateway.BASE_URL, gateway.KEY, gateway.CHAT, gateway.EMBEDDING)):
        raise pytest.UsageError("the environment is not set; start these tests with tests/sdk/run.sh")


@pytest.fixture(scope="session")
def connect():
    """Makes clients. They do not retry unless told to: what fails once is to be seen."""
    clients = []

    def connect(**options):
        defaults = {"base_url": gateway.BASE_URL, "api_key": gateway.KEY, "max_retries": 0, "timeout": 30}
        clients.append(openai.OpenAI(**{**defaults, **options}))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def client(connect):
    return connect()


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def aclient():
    async with openai.AsyncOpenAI(
        base_url=gateway.BASE_URL, api_key=gateway.KEY, max_retries=0, timeout=30
    ) as aclient:
        yield aclient


@pytest.fixture
async def own_http():
    """For LangChain, which keeps one asynchronous client for all event loops; each test has a loop of its own."""
    async with openai.DefaultAsyncHttpxClient() as http:
        yield http


@pytest.fixture
def own_engine():
    engine = gateway.OwnEngine()
    engine.wait_until(running=0, seconds=10)
    return engine
