"""What the tests know of the gateway that tests/sdk/run.sh starts: models, keys, engines, and what was answered."""

import os
import re
import time
import urllib.request

import httpx2
import openai

BASE_URL = os.environ.get("CLOUDACH_BASE_URL", "")
KEY = os.environ.get("CLOUDACH_API_KEY", "")
CHAT = os.environ.get("CLOUDACH_MODEL", "")
EMBEDDING = os.environ.get("CLOUDACH_EMBEDDING_MODEL", "")

# The rest is in gateway.yaml, in front of fake engines only.
# A name with a slash, and nobody but this suite asks for it.
OWN = "acme/python"
AWAY = "sdk-away"
SUSPENDED_KEY = "sk-sdk-suspended"
FEW_REQUESTS_KEY = "sk-sdk-python-requests"
FEW_TOKENS_KEY = "sk-sdk-python-tokens"
CONTEXT_LENGTH = 2048
NOBODY_LISTENS = "http://127.0.0.1:29540/v1"

REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")


def user(text):
    return [{"role": "user", "content": text}]


def say(text):
    """Messages that a fake engine answers with this text."""
    return user(f"[[say:{text}]]")


def until_limited(ask, wait=0.5, most=200):
    """Asks until it is refused for its limits and told to wait for so many seconds at least; returns the error."""
    for _ in range(most):
        try:
            ask()
        except openai.RateLimitError as error:
            told = float(error.response.headers["retry-after-ms"]) / 1000
            if told >= wait:
                return error
            time.sleep(told)
    raise AssertionError(f"{most} requests, and no limit")


class OwnEngine:
    """The engine behind OWN, read past the gateway."""

    URL = "http://127.0.0.1:29513/metrics"

    def running(self):
        with urllib.request.urlopen(self.URL, timeout=5) as page:
            text = page.read().decode()
        counts = re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\d+)$", text, re.MULTILINE)
        assert len(counts) == 2, text
        return sum(map(int, counts))

    def wait_until(self, running, seconds):
        """Waits until so many requests run."""
        ends = time.monotonic() + seconds
        while (now := self.running()) != running:
            assert time.monotonic() < ends, f"still {now} requests run, not {running}"
            time.sleep(0.01)


class Answers(list):
    """The status and the request id of every answer that came back, retries included."""

    def add(self, response):
        self.append((response.status_code, response.headers["x-request-id"]))

    @property
    def statuses(self):
        """Of answers that are known to be different ones, because each has its own request id."""
        assert len({request_id for _, request_id in self}) == len(self)
        return [status for status, _ in self]


class Transport(httpx2.HTTPTransport):
    """The client's own way to the server, which keeps the answers."""

    def __init__(self):
        super().__init__()
        self.answers = Answers()

    def handle_request(self, request):
        response = super().handle_request(request)
        self.answers.add(response)
        return response


class AsyncTransport(httpx2.AsyncHTTPTransport):
    """The same for the asynchronous client."""

    def __init__(self):
        super().__init__()
        self.answers = Answers()

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        self.answers.add(response)
        return response
