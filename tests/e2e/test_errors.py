"""Bad requests: the right status, and OpenAI's error body with nothing missing."""

import http.client
import select
import socket

import httpx
import openai
import pytest

CHAT = "/v1/chat/completions"
LEGACY = "/v1/completions"
TOO_LONG = "word " * 20_000


def check(response, status, param=None, code=None, message="", kind="invalid_request_error"):
    assert response.status_code == status, response.text
    assert response.headers["content-type"].split(";")[0] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert body.keys() == {"error"}
    error = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == (kind, param, code), error
    assert error["message"].startswith(message) and error["message"], error


# name, what is wrong with a good chat request, and what the error says: param, code, how the message begins
FIELDS = [
    ("messages not a list", {"messages": "hi"}, "messages", "invalid_type", "Invalid type for 'messages'"),
    ("no messages", {"messages": []}, "messages", "empty_array", "Invalid 'messages': empty array."),
    ("content a number", {"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_type", "Invalid type for 'messages[0].content'"),
    ("unknown role", {"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role", "invalid_value", "Invalid value: 'robot'."),
    ("no role", {"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter", "Missing required parameter: 'messages[0].role'."),
    ("temperature too low", {"temperature": -1}, "temperature", "decimal_below_min_value", "Invalid 'temperature': decimal below minimum value."),
    ("temperature too high", {"temperature": 3}, "temperature", "decimal_above_max_value", "Invalid 'temperature': decimal above maximum value."),
    ("temperature a string", {"temperature": "hot"}, "temperature", "invalid_type", "Invalid type for 'temperature'"),
    ("top_p too high", {"top_p": 2}, "top_p", "decimal_above_max_value", "Invalid 'top_p': decimal above maximum value."),
    ("max_tokens a string", {"max_tokens": "many"}, "max_tokens", "invalid_type", "Invalid type for 'max_tokens'"),
    ("max_tokens nought", {"max_tokens": 0}, "max_tokens", "integer_below_min_value", "Invalid 'max_tokens': integer below minimum value."),
    ("n nought", {"n": 0}, "n", "integer_below_min_value", "Invalid 'n': integer below minimum value."),
    ("too many stops", {"stop": list("abcde")}, "stop", "array_above_max_length", "Invalid 'stop': array too long."),
    ("stream_options alone", {"stream_options": {"include_usage": True}}, "stream_options", None, "The 'stream_options' parameter is only allowed when 'stream' is enabled."),
    ("too many top_logprobs", {"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value", "Invalid 'top_logprobs': integer above maximum value."),
]


@pytest.mark.parametrize("change, param, code, message", [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_field(gateway, change, param, code, message):
    check(gateway.post(CHAT, gateway.chat_body(**change)), 400, param, code, message)


@pytest.mark.parametrize("field", ["model", "messages"])
def test_missing_field(gateway, field):
    body = gateway.chat_body()
    del body[field]
    if field == "model":
        check(gateway.post(CHAT, body), 400, None, None, "you must provide a model parameter")
    else:
        check(gateway.post(CHAT, body), 400, "messages", "missing_required_parameter", "Missing required parameter: 'messages'.")


@pytest.mark.parametrize("path", [CHAT, LEGACY, "/v1/embeddings"])
@pytest.mark.parametrize("content", [b'{"model": ', b"", b"hello", b"\xff\xfe"], ids=repr)
def test_malformed_json(gateway, path, content):
    check(gateway.http.post(path, content=content), 400, None, None, "We could not parse the JSON body of your request.")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, LEGACY, "/v1/embeddings"])
def test_unknown_model(gateway, path, stream):
    if path == "/v1/embeddings":
        body = {"input": "hi"}
    else:
        body = (gateway.chat_body() if path == CHAT else gateway.completion_body()) | {"stream": stream}
    response = gateway.post(path, {**body, "model": "no-such-model"})
    check(response, 404, None, "model_not_found", "The model `no-such-model` does not exist or you do not have access to it.")


def test_unknown_model_in_the_official_client(client, gateway):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**gateway.chat_body(model="no-such-model"))
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_prompt_too_long(gateway, stream):
    """Refused before the stream begins, so that the status can say so."""
    response = gateway.post(CHAT, gateway.chat_body(messages=[{"role": "user", "content": TOO_LONG}], stream=stream))
    check(response, 400, "messages", "context_length_exceeded", "This model's maximum context length is ")
    assert "Please reduce the length of the messages" in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_legacy_prompt_too_long(gateway, stream):
    response = gateway.post(LEGACY, gateway.completion_body(prompt=TOO_LONG, stream=stream))
    check(response, 400, None, None, "This model's maximum context length is ")
    assert "reduce your prompt" in response.json()["error"]["message"]


def test_schema_that_no_engine_takes(gateway):
    schema = {"name": "answer", "strict": True, "schema": {"type": "foo"}}
    response = gateway.post(CHAT, gateway.chat_body(response_format={"type": "json_schema", "json_schema": schema}))
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/v1/models", CHAT])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}], ids=repr)
def test_no_key(gateway, path, headers):
    method = "GET" if path == "/v1/models" else "POST"
    response = httpx.request(method, gateway.root + path, headers=headers, json=gateway.chat_body())
    check(response, 401, None, None, "You didn't provide an API key.")


@pytest.mark.parametrize("stream", [False, True])
def test_wrong_key(gateway, stream):
    wrong = "sk-wrong-0123456789abcdefghijklmnop"
    headers = {"authorization": f"Bearer {wrong}"}
    response = httpx.post(gateway.root + CHAT, headers=headers, json=gateway.chat_body(stream=stream))
    check(response, 401, None, "invalid_api_key", "Incorrect API key provided: ")
    assert wrong not in response.text


def test_wrong_key_in_the_official_client(gateway):
    client = openai.OpenAI(base_url=gateway.base_url, api_key="sk-wrong-0123456789abcdefghijklmnop", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_unknown_url_below_v1(gateway):
    check(gateway.post("/v1/nowhere", {}), 404, None, None, "Invalid URL (POST /v1/nowhere)")


def test_unknown_url(gateway):
    check(gateway.post("/nowhere", {}), 404, None, "unknown_url", "Unknown request URL: POST /nowhere.")


def test_wrong_method(gateway):
    check(gateway.get(CHAT), 405, None, None, f"Not allowed to GET on {CHAT}.")
    check(gateway.post("/v1/models", {}), 405, None, None, "Not allowed to POST on /v1/models.")


REFUSED = [
    ("unknown URL", "/v1/nowhere", "good key"),
    ("wrong method", "/v1/models", "good key"),
    ("wrong key", CHAT, "sk-wrong-0123456789abcdefghijklmnop"),
]


@pytest.mark.parametrize("path, key", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_refusal_does_not_lose_the_next_request(gateway, path, key):
    """Who refuses before the body has come must read it nevertheless, or say that the connection ends.

    Else the client sends its next request into a connection that is about to be closed.
    """
    url, body = httpx.URL(gateway.root), b"x" * 20_000
    headers = gateway.headers | ({} if key == "good key" else {"authorization": f"Bearer {key}"})

    def request(method, path, length):
        lines = [f"{method} {path} HTTP/1.1", f"host: {url.host}", f"content-length: {length}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())

    def response():
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer

    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        request("POST", path, len(body))
        answered, _, _ = select.select([connection], [], [], 0.5)
        try:
            if not answered:
                connection.sendall(body)
            refusal = response()
            assert 400 <= refusal.status < 500
            if refusal.getheader("connection", "").lower() == "close":
                return
            if answered:
                connection.sendall(body)
            headers = gateway.headers
            request("GET", "/v1/models", 0)
            assert response().status == 200
        except (ConnectionError, http.client.HTTPException) as error:
            pytest.fail(f"the connection was closed without a word: {error!r}")


def test_the_gateway_still_answers(gateway):
    assert gateway.chat()["choices"][0]["finish_reason"] == "stop"
