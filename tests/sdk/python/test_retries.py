"""What the client tries again by itself, and when. Attempts are counted by the answers that came back."""

import time

import httpx2
import openai
import pytest

from gateway import CHAT, EMBEDDING, FEW_REQUESTS_KEY, SUSPENDED_KEY, Transport, say, until_limited, user


@pytest.fixture
def counted(connect):
    """A client that tries again so often, and the answers that it got."""

    def counted(retries, **options):
        transport = Transport()
        return connect(max_retries=retries, http_client=httpx2.Client(transport=transport), **options), transport.answers

    return counted


def ask(client, prompt="[[say:x]]", **more):
    return client.chat.completions.create(model=CHAT, messages=user(prompt), **more)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_overloaded_is_tried_again_when_the_server_says(counted, stream):
    client, answers = counted(retries=1)
    began = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "[[fault:overloaded]]", stream=stream)
    assert answers.statuses == [503, 503]
    waited = float(caught.value.response.headers["retry-after-ms"]) / 1000
    assert waited <= time.monotonic() - began < waited + 2


def test_broken_is_tried_again(counted):
    client, answers = counted(retries=2)
    with pytest.raises(openai.InternalServerError):
        ask(client, "[[fault:internal]]")
    assert answers.statuses == [500, 500, 500]


def test_the_rate_limit_is_waited_for(counted):
    """The limit refills while the client waits as long as it was told, so that the second attempt succeeds."""
    impatient, _ = counted(retries=0, api_key=FEW_REQUESTS_KEY)
    until_limited(lambda: ask(impatient))
    client, answers = counted(retries=2, api_key=FEW_REQUESTS_KEY)
    began = time.monotonic()
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=say("x"))
    assert answers.statuses == [429, 200] and raw.retries_taken == 1
    assert 0.3 < time.monotonic() - began < 4


def test_no_quota_is_not_tried_again(counted):
    client, answers = counted(retries=5, api_key=SUSPENDED_KEY)
    with pytest.raises(openai.RateLimitError):
        ask(client)
    assert answers.statuses == [429]


# What would fail again each time.
FINAL = [
    ("bad request", 400, lambda client: ask(client, temperature=9)),
    ("wrong key", 401, lambda client: ask(client.with_options(api_key="sk-wrong"))),
    ("not allowed", 403, lambda client: client.completions.create(model=EMBEDDING, prompt="x")),
    ("unknown model", 404, lambda client: client.models.retrieve("nope")),
    ("wrong method", 405, lambda client: client.get("/chat/completions", cast_to=object)),
]


@pytest.mark.parametrize("status, wrong", [row[1:] for row in FINAL], ids=[row[0] for row in FINAL])
def test_mistakes_are_not_tried_again(counted, status, wrong):
    client, answers = counted(retries=5)
    with pytest.raises(openai.APIStatusError):
        wrong(client)
    assert answers.statuses == [status]


def test_a_broken_stream_is_not_tried_again(counted):
    client, answers = counted(retries=5)
    with pytest.raises(openai.APIError):
        list(ask(client, "[[tokens=9]][[fault:die_after=3]]", stream=True))
    assert answers.statuses == [200]
