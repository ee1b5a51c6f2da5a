"""A typed error for everything that can go wrong.

Two of the client's classes have no test: the gateway never sends a 409 (ConflictError) nor a 422
(UnprocessableEntityError), as OpenAI does not on these endpoints.
"""

import httpx2
import openai
import pytest

from gateway import (
    AWAY, BASE_URL, CHAT, CONTEXT_LENGTH, EMBEDDING, FEW_REQUESTS_KEY, FEW_TOKENS_KEY, NOBODY_LISTENS, OWN, REQUEST_ID,
    SUSPENDED_KEY, say, until_limited, user,
)

TOO_LONG = user("word " * 3000)


def check(error, status, kind="invalid_request_error", param=None, code=None):
    """What every error that came as an answer has."""
    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, error.type, error.param, error.code) == (status, kind, param, code), error
    assert error.body.keys() == {"message", "type", "param", "code"} and error.body["message"]
    assert REQUEST_ID.fullmatch(error.request_id) and error.request_id == error.response.headers["x-request-id"]
    assert error.response.headers["content-type"].split(";")[0] == "application/json"
    assert str(error) == error.message == f"Error code: {status} - {error.body['message']}"


# What is wrong with a good chat request; the class is BadRequestError each time.
BAD_REQUESTS = [
    ("no messages", {"messages": []}, "messages", "empty_array"),
    ("unknown role", {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ("content a number", {"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_type"),
    ("temperature too high", {"temperature": 3}, "temperature", "decimal_above_max_value"),
    ("n nought", {"n": 0}, "n", "integer_below_min_value"),
    ("too many stops", {"stop": list("abcde")}, "stop", "array_above_max_length"),
    ("too long", {"messages": TOO_LONG}, "messages", "context_length_exceeded"),
    ("too long with the answer", {"messages": TOO_LONG, "max_tokens": 9}, "messages", "context_length_exceeded"),
    ("options without stream", {"stream_options": {"include_usage": True}}, "stream_options", None),
    ("choice without tools", {"tool_choice": "auto"}, "tool_choice", None),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("change, param, code", [row[1:] for row in BAD_REQUESTS], ids=[row[0] for row in BAD_REQUESTS])
def test_bad_request(client, change, param, code, stream):
    """Also where a stream was asked for: the status is known before it begins."""
    if stream and "stream_options" in change:
        change, param, code = {"stream_options": "x"}, "stream_options", "invalid_type"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": CHAT, "messages": say("x"), "stream": stream, **change})
    check(caught.value, 400, param=param, code=code)


def test_context_length_of_completions(client):
    with pytest.raises(openai.BadRequestError, match=f"maximum context length is {CONTEXT_LENGTH} tokens") as caught:
        client.completions.create(model=CHAT, prompt="word " * 3000)
    check(caught.value, 400)


def test_wrong_key(connect):
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: sk-wrong") as caught:
        connect(api_key="sk-wrong-0123456789abcdefghijklmnop").models.list()
    check(caught.value, 401, code="invalid_api_key")
    assert "abcdefghijklmnop" not in caught.value.message


def test_no_key(client):
    with pytest.raises(openai.AuthenticationError, match="You didn't provide an API key") as caught:
        client.models.list(extra_headers={"Authorization": openai.Omit()})
    check(caught.value, 401)


def test_permission_denied(client):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.completions.create(model=EMBEDDING, prompt="x")
    check(caught.value, 403)
    assert caught.value.body["message"] == "You are not allowed to sample from this model"


def test_not_found(client):
    for ask in (
        lambda: client.chat.completions.create(model="nope", messages=say("x")),
        lambda: client.completions.create(model="nope", prompt="x"),
        lambda: client.embeddings.create(model="nope", input="x"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        check(caught.value, 404, code="model_not_found")
        assert caught.value.body["message"] == "The model `nope` does not exist or you do not have access to it."


def test_unknown_url(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/nope", cast_to=object, body={})
    check(caught.value, 404)
    assert caught.value.body["message"] == "Invalid URL (POST /v1/nope)"


def test_wrong_method(client):
    """A status without a class of its own."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.get("/chat/completions", cast_to=object)
    assert type(caught.value) is openai.APIStatusError
    check(caught.value, 405)


def check_rate_limit(error, kind, unit):
    check(error, 429, kind=kind, code="rate_limit_exceeded")
    message = error.body["message"]
    assert message.startswith("Rate limit reached for ") and unit in message and "Please try again in " in message
    headers = error.response.headers
    assert 0 < float(headers["retry-after-ms"]) <= 60_000
    assert 0 < int(headers["retry-after"]) <= 60
    assert headers.get("x-should-retry") != "false"
    assert int(headers[f"x-ratelimit-limit-{kind}"]) > int(headers[f"x-ratelimit-remaining-{kind}"]) >= 0


def test_too_many_requests(connect):
    client = connect(api_key=FEW_REQUESTS_KEY)
    error = until_limited(lambda: client.chat.completions.create(model=CHAT, messages=say("x"), max_tokens=1))
    check_rate_limit(error, "requests", "requests per min (RPM)")
    assert error.response.headers["x-ratelimit-limit-requests"] == "30"


def test_too_many_tokens(connect):
    client = connect(api_key=FEW_TOKENS_KEY)
    asked = {"model": OWN, "messages": user("[[tokens=1500]]"), "max_tokens": 1500}
    error = until_limited(lambda: client.chat.completions.create(**asked), most=10)
    check_rate_limit(error, "tokens", "tokens per min (TPM)")
    assert error.response.headers["x-ratelimit-limit-tokens"] == "6000"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_quota(connect, stream):
    with pytest.raises(openai.RateLimitError, match="You exceeded your current quota") as caught:
        connect(api_key=SUSPENDED_KEY).chat.completions.create(model=CHAT, messages=say("x"), stream=stream)
    check(caught.value, 429, kind="insufficient_quota", code="insufficient_quota")
    assert caught.value.response.headers["x-should-retry"] == "false"


# How an engine fails before it has answered, and what is made of it.
ENGINE_FAILURES = [
    ("broken", "[[fault:internal]]", 500),
    ("speaking in tongues", "[[fault:status=502]]", 500),
    ("overloaded", "[[fault:overloaded]]", 503),
    ("out of memory", "[[fault:oom]]", 503),
    ("dead inside", "[[fault:dead]]", 503),
    ("gone", "[[fault:die]]", 503),
    ("gone in the middle", "[[tokens=9]][[fault:die_after=3]]", 503),
    ("out of memory in the middle", "[[tokens=9]][[fault:oom_after=3]]", 503),
]


@pytest.mark.parametrize("prompt, status", [row[1:] for row in ENGINE_FAILURES], ids=[row[0] for row in ENGINE_FAILURES])
def test_engine_failure(client, prompt, status):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=CHAT, messages=user(prompt))
    check(caught.value, status, kind="server_error")
    headers = caught.value.response.headers
    assert float(headers["retry-after-ms"]) > 0 and int(headers["retry-after"]) > 0
    assert headers["x-should-retry"] == "true"
    # The client sees nothing of the engine.
    assert "EngineCore" not in caught.value.message


def test_engine_failure_before_a_stream(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=CHAT, messages=user("[[fault:internal]]"), stream=True)
    check(caught.value, 500, kind="server_error")


# What an engine refuses that the gateway could not know: the caller's mistake all the same.
REFUSED_BY_THE_ENGINE = [("context", "messages", "context_length_exceeded"), ("schema", "response_format", None)]


@pytest.mark.parametrize("fault, param, code", REFUSED_BY_THE_ENGINE)
def test_refused_by_the_engine(client, fault, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CHAT, messages=user(f"[[fault:{fault}]]"))
    check(caught.value, 400, param=param, code=code)


def test_engine_away(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=AWAY, messages=say("x"))
    check(caught.value, 503, kind="server_error")


# How an engine fails in the middle of a stream.
BREAKS = [
    "die_after=3", "error_after=3", "end_after=3", "abort_after=3", "internal_after=3", "oom_after=3", "overloaded_after=3"
]


def check_broken_stream(error):
    """No answer of its own: the status was sent long ago."""
    assert type(error) is openai.APIError
    assert error.type == "server_error" and error.message and error.param is None
    assert error.body.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("fault", BREAKS)
def test_error_in_a_chat_stream(client, fault):
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(
            model=CHAT, messages=user(f"[[tokens=9]][[fault:{fault}]]"), stream=True
        ):
            text += chunk.choices[0].delta.content or ""
    check_broken_stream(caught.value)
    # All that came before, and nothing after.
    assert len(text.split()) == 3


@pytest.mark.parametrize("fault", BREAKS)
def test_error_in_a_completions_stream(client, fault):
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.completions.create(model=CHAT, prompt=f"[[tokens=9]][[fault:{fault}]]", stream=True):
            text += chunk.choices[0].text
    check_broken_stream(caught.value)
    assert len(text.split()) == 3


def test_time_out(connect):
    with pytest.raises(openai.APITimeoutError):
        connect(timeout=0.3).chat.completions.create(model=CHAT, messages=user("[[first=5s]]"))


def test_time_out_in_a_stream(connect):
    client = connect(timeout=httpx2.Timeout(5, read=0.2))
    stream = client.chat.completions.create(
        model=CHAT, messages=user("[[tokens=3]][[fault:stall_after=1]]"), stream=True
    )
    with pytest.raises(openai.APITimeoutError):
        list(stream)


def test_nobody_there(connect):
    with pytest.raises(openai.APIConnectionError) as caught:
        connect(base_url=NOBODY_LISTENS).models.list()
    assert not isinstance(caught.value, openai.APITimeoutError)


def test_base_url_without_v1(connect):
    """A common mistake, which is told from a wrong model."""
    with pytest.raises(openai.NotFoundError) as caught:
        connect(base_url=BASE_URL.removesuffix("/v1")).models.list()
    check(caught.value, 404, code="unknown_url")
