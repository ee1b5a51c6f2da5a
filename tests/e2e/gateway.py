"""What the tests know of the two ends: the gateway that they talk to, and the engine that they watch meanwhile."""

import http.client
import json
import time
import urllib.parse

import httpx

from streams import chunks_of

# Both the quantised model on llama.cpp and the bf16 one on vLLM answer "The capital of France is Paris." and stop.
# Most other questions get another text from each.
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of France?"},
]
ANSWER = "The capital of France is Paris."

# A text that this model goes on with for as long as it may.
ENDLESS = "1 2 3 4 5 6 7 8 9 10 11 12"


def schema_format(schema):
    """A response_format that leaves only what the schema allows."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


class Gateway:
    def __init__(self, base_url, api_key, model):
        self.base_url, self.api_key, self.model = base_url, api_key, model
        self.root = base_url.removesuffix("/v1")
        self.headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        self.http = httpx.Client(base_url=self.root, headers=self.headers, timeout=60)

    def chat_body(self, **more):
        """A chat request whose answer is always the same."""
        return {"model": self.model, "messages": MESSAGES, "temperature": 0, "seed": 7, "max_tokens": 24, **more}

    def completion_body(self, **more):
        return {"model": self.model, "prompt": "The capital of France is", "temperature": 0, "seed": 7, "max_tokens": 8, **more}

    def get(self, path):
        return self.http.get(path)

    def post(self, path, body):
        return self.http.post(path, json=body)

    def chat(self, **more):
        response = self.post("/v1/chat/completions", self.chat_body(**more))
        assert response.status_code == 200, response.text
        return response.json()

    def completion(self, **more):
        response = self.post("/v1/completions", self.completion_body(**more))
        assert response.status_code == 200, response.text
        return response.json()

    def stream(self, path, body):
        """Reads a whole stream and takes it apart."""
        response = self.post(path, {**body, "stream": True})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].split(";")[0] == "text/event-stream"
        return chunks_of(response.content)

    def open(self, path, body):
        """Sends a request over a connection of its own and returns it without reading: closing it is leaving."""
        url = urllib.parse.urlsplit(self.root)
        connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=60)
        connection.request("POST", path, json.dumps(body), self.headers)
        return connection


class Engine:
    """The engine's own figures, read past the gateway."""

    RUNNING = {
        "llama_cpp": ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
        "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    }

    def __init__(self, kind, urls):
        self.kind, self.names, self.urls = kind, self.RUNNING[kind], urls

    def running(self):
        """How many requests it has, in work or waiting."""
        total = 0
        for url in self.urls:
            found = []
            for line in httpx.get(url, timeout=10).raise_for_status().text.splitlines():
                name, _, value = line.rpartition(" ")
                if name.partition("{")[0] in self.names:
                    found.append(float(value))
            assert len(found) >= len(self.names), f"{url} does not tell {self.names}"
            total += sum(found)
        return total

    def wait_until(self, condition, seconds):
        """Waits until the number of running requests fulfils the condition; returns how long that took."""
        began = time.monotonic()
        while True:
            running, waited = self.running(), time.monotonic() - began
            if condition(running):
                return waited
            assert waited < seconds, f"still {running} requests running after {waited:.2f} s"
            time.sleep(0.02)
