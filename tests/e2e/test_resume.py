"""An engine that is killed in the middle of an answer: the client's stream goes on, with the text that it would have had.

A gateway of its own with two real engines of one model. Temperature 0: what goes on must be what would have come.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import time

import httpx
import pytest

from streams import check_grammar, chunks_of, content_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT, ADMIN, ENGINES = 28480, 28490, (28481, 28482)
MODEL, KEY = "smollm2-135m", "sk-resume"
TOKENS = 60
# An engine that died is started again after a pause, and a longer one each time; and vLLM needs most of a minute.
KILLS = {"llama_cpp": 6, "vllm": 2}
READY_WITHIN = {"llama_cpp": 60, "vllm": 600}
RESUMED = "its answer goes on at another one"
STORY = [{"role": "user", "content": "Tell me a story about a ship."}]


def command(engine, port):
    if engine == "llama_cpp":
        return [".venv/bin/python", "deploy/local/engines/llama_cpp.py", "--port", str(port), "--alias", MODEL]
    # What it reads it computes in another order than what it writes: in 16 bits two likely words may change places.
    return ["deploy/local/engines/vllm.sh", "chat-model", MODEL, "--port", str(port), "--dtype", "float32"]


def engine_at(port):
    """The process that serves this port."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            # Not its watchdog, whose own death would leave the engine's children behind.
            if b"--port" in line and str(port).encode() in line and b"__engine-watchdog" not in line:
                found.append(int(entry.name))
    assert found, f"no engine serves {port}"
    return min(found)


class Pair:
    """The gateway and its two engines."""

    def __init__(self, engine, folder):
        self.engine, self.kills = engine, 0
        config = {
            "listen": f"127.0.0.1:{PORT}",
            "admin": f"127.0.0.1:{ADMIN}",
            "catalogue": {"models": {MODEL: {}}},
            "engines": [
                {
                    "model": MODEL,
                    "engine": {
                        "dialect": engine,
                        "url": f"http://127.0.0.1:{port}",
                        "command": command(engine, port),
                    },
                }
                for port in ENGINES
            ],
            "drain": {"settle": "0s", "grace": "10s"},
        }
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(config))
        self.log = (folder / "gateway.log").open("w+")
        binary = os.environ.get("CLOUDACH_BIN", "target/debug") + "/cloudach"
        self.process = subprocess.Popen(
            [binary, "up", "--config", path],
            cwd=ROOT,
            env={**os.environ, "CLOUDACH_API_KEY": KEY},
            stdout=self.log,
            stderr=self.log,
        )
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{PORT}", headers={"authorization": f"Bearer {KEY}"}, timeout=60
        )

    def said(self, words):
        """How often the gateway's log has these words."""
        return pathlib.Path(self.log.name).read_text().count(words)

    def wait(self):
        """Until both engines serve."""
        until = time.monotonic() + READY_WITHIN[self.engine]
        while self.said('"the engine is ready"') < len(ENGINES) + self.kills or not self.answers():
            assert self.process.poll() is None, "the gateway has ended"
            assert time.monotonic() < until, "the engines are not ready"
            time.sleep(0.2)

    def answers(self):
        try:
            return self.http.get("/v1/models").status_code == 200
        except httpx.HTTPError:
            return False

    def first_answer(self):
        """Until the edge has heard that they do: the catalogue comes to it a moment later."""
        body = {"model": MODEL, "messages": STORY, "max_tokens": 1}
        until = time.monotonic() + 10
        while self.http.post("/v1/chat/completions", json=body).status_code != 200:
            assert time.monotonic() < until, "the edge has not heard of the engines"
            time.sleep(0.05)

    def working(self):
        """The port of the engine that works."""
        name = {"llama_cpp": "llamacpp:requests_processing", "vllm": "vllm:num_requests_running"}[self.engine]
        for port in ENGINES:
            page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
            values = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(name)]
            if any(float(value) > 0 for value in values):
                return port
        return None

    def ask(self, body, kill_after=None):
        """The chunks of a stream, whose engine is killed when so many have come."""
        body = {**body, "model": MODEL, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        received, killed = b"", None
        with self.http.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            for piece in response.iter_raw():
                received += piece
                if kill_after is not None and killed is None and received.count(b"data: ") > kill_after:
                    killed = self.working()
                    assert killed, "it was over before it could be killed"
                    self.kills += 1
                    os.kill(engine_at(killed), signal.SIGKILL)
        assert (killed is not None) == (kill_after is not None)
        return chunks_of(received)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.seek(0)
        said = self.log.read()
        self.log.close()
        assert "panicked" not in said


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(os.environ["CLOUDACH_ENGINE"], tmp_path_factory.mktemp("resume"))
    try:
        pair.wait()
        pair.first_answer()
        yield pair
    finally:
        pair.stop()


def logprobs_of(chunks):
    return [
        (entry["token"], entry["logprob"])
        for chunk in chunks
        for choice in chunk["choices"]
        for entry in (choice["logprobs"] or {}).get("content") or []
    ]


def usage_of(chunks):
    usage = chunks[-1]["usage"]
    return usage["prompt_tokens"], usage["completion_tokens"]


@pytest.mark.timeout(1200)
def test_killed_at_random_points(pair):
    body = {"messages": STORY, "max_tokens": TOKENS, "logprobs": True}
    undisturbed = pair.ask(body)
    check_grammar(undisturbed, choices=1, with_usage=True)
    draw = random.Random(7)
    for kill in range(int(os.environ.get("CLOUDACH_KILLS", KILLS[pair.engine]))):
        pair.wait()
        if kill % 2:
            # Idle engines take turns: the other one is to be hit.
            pair.ask({"messages": STORY, "max_tokens": 1})
        resumed = pair.said(RESUMED)
        at = draw.randrange(2, TOKENS - 20)
        chunks = pair.ask(body, kill_after=at)
        check_grammar(chunks, choices=1, with_usage=True)
        assert content_of(chunks) == content_of(undisturbed), f"kill {kill}, after {at} chunks"
        # The engine reads what was written in another way than it writes it: the last digits may differ.
        pairs = zip(logprobs_of(chunks), logprobs_of(undisturbed), strict=True)
        assert all(a == b and abs(x - y) < 0.1 for (a, x), (b, y) in pairs)
        assert usage_of(chunks) == usage_of(undisturbed)
        assert pair.said(RESUMED) == resumed + 1


@pytest.mark.timeout(1200)
def test_killed_under_a_schema(pair):
    schema = {
        "type": "object",
        "properties": {"words": {"type": "array", "items": {"type": "string", "maxLength": 8}, "minItems": 12, "maxItems": 12}},
        "required": ["words"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "words", "strict": True, "schema": schema}}
    body = {"messages": STORY, "max_tokens": 200, "response_format": form}
    pair.wait()
    undisturbed = content_of(pair.ask(body))
    assert len(json.loads(undisturbed)["words"]) == 12
    assert content_of(pair.ask(body, kill_after=20)) == undisturbed
