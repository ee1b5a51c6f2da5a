"""A client that leaves frees the engine, streamed or not, within a second. Watched in the engine's own figures."""

import pytest

from gateway import ENDLESS

# Enough tokens for half a minute and more: an engine that stops within a second was told to.
MANY = 1500
# Seconds from the client's leaving until the engine has nothing to do.
AT_ONCE = 1


@pytest.fixture
def idle(engine):
    engine.wait_until(lambda running: running == 0, seconds=20)
    return engine


def body_for(gateway, path, stream):
    if path == "/v1/completions":
        return gateway.completion_body(prompt=ENDLESS, max_tokens=MANY, stream=stream)
    story = [{"role": "user", "content": "Write a very long story about a ship."}]
    return gateway.chat_body(messages=story, max_tokens=MANY, stream=stream)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_leaving(gateway, idle, path, stream):
    connection = gateway.open(path, body_for(gateway, path, stream))
    response = None
    if stream:
        response = connection.getresponse()
        assert response.status == 200
        while b'"finish_reason":null' not in response.readline().replace(b" ", b""):
            pass
    idle.wait_until(lambda running: running >= 1, seconds=10)
    assert idle.running() >= 1
    if response:
        response.close()
    connection.close()
    idle.wait_until(lambda running: running == 0, seconds=AT_ONCE)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_leaving_while_the_prompt_is_read(gateway, idle, stream):
    """Ten seconds and more of prompt on a small machine, so nothing has been generated yet."""
    words = " ".join(f"{number} apples" for number in range(400, 1000 if stream else 1001))[:4500]
    connection = gateway.open("/v1/completions", gateway.completion_body(prompt=words, max_tokens=MANY, stream=stream))
    idle.wait_until(lambda running: running >= 1, seconds=10)
    connection.close()
    idle.wait_until(lambda running: running == 0, seconds=AT_ONCE)


def test_official_client_closing_a_stream(client, gateway, idle):
    stream = client.chat.completions.create(**body_for(gateway, "/v1/chat/completions", stream=True))
    for _, _ in zip(range(3), stream, strict=False):
        pass
    idle.wait_until(lambda running: running >= 1, seconds=10)
    stream.close()
    idle.wait_until(lambda running: running == 0, seconds=AT_ONCE)


def test_one_leaves_and_the_other_stays(gateway, idle):
    leaving = gateway.open("/v1/completions", gateway.completion_body(prompt=ENDLESS, max_tokens=MANY, stream=True))
    staying = gateway.open("/v1/completions", gateway.completion_body(max_tokens=60))
    idle.wait_until(lambda running: running >= 2, seconds=10)
    leaving.close()
    response = staying.getresponse()
    assert response.status == 200
    assert b'"finish_reason"' in response.read()
    idle.wait_until(lambda running: running == 0, seconds=AT_ONCE)
