"""A server that answers recorded requests with their recorded answers, over HTTP: for tests of the whole command."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import as_sent
from compat import recordings
from compat.contract import Contract
from compat.exchange import Answer, Request
from compat.kinds import PLAIN
from compat.recordings import Limits, Models, Recording

MODELS = Models("served-chat", "served-completion", "served-embedding")
# So high that no recorded answer is longer.
LIMITS = Limits(missing=100_000)


def served(recorded: list[Recording]) -> list[Recording]:
    """What a server of today with plain models would answer: the recordings that are nothing else."""
    return [
        r
        for r in recorded
        if not r.old
        and not r.doubtful
        and r.replayable
        and r.model_kind == PLAIN
        and not recordings.exchange(r, MODELS, LIMITS).only_if_refused
    ]


@contextmanager
def running(contract: Contract, recorded: list[Recording], change: Callable[[Answer], Answer] = lambda a: a) -> Iterator[str]:
    """The base URL of a server with these recordings; `change` makes its answers wrong."""
    answers: dict[str, Answer] = {}
    for recording in recorded:
        exchange = recordings.exchange(recording, MODELS, LIMITS)
        answer = as_sent.answer(contract, exchange, recording)
        answers.setdefault(_key(exchange.request), change(_renamed(answer, exchange.request.fields)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, body: Any) -> None:
            answer = answers.get(_key(Request(self.command, self.path, body)))
            if answer is None:
                answer = Answer(418, {"content-type": "text/plain"}, b"no recording has this request")
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _key(request: Request) -> str:
    return json.dumps([request.method, request.path, request.body], sort_keys=True)


def _renamed(answer: Answer, fields: dict[str, Any]) -> Answer:
    """The answer of a server that calls the model by the name it was asked for, and repeats the limit that a run adds."""
    if fields.get("model") is None or answer.status != 200:
        return answer
    content = answer.content
    for key in ("model", "max_output_tokens"):
        if key in fields:
            told = f'"{key}":{json.dumps(fields[key])}'.encode()
            content = re.sub(rb'"' + key.encode() + rb'": ?("[^"]*"|null)', told, content)
    return replace(answer, content=content)
