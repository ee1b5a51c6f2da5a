"""Sends a request and reads the answer to the last byte, as it came."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from .exchange import Answer, Key, Request
from .recordings import UNKNOWN_KEY

# An answer larger than this is no answer to any request of the suite.
MAX_BYTES = 64 * 1024 * 1024


class NoAnswer(Exception):
    """The connection failed, or the answer took too long."""


@dataclass(frozen=True)
class Server:
    """A base URL with or without `/v1` at its end, and a key for it."""

    base_url: str
    key: str

    @property
    def root(self) -> str:
        return self.base_url.rstrip("/").removesuffix("/v1")

    @property
    def is_openai(self) -> bool:
        return urlsplit(self.base_url).hostname == "api.openai.com"


class Client:
    """May be used by several threads. Nothing is tried twice: what a client would see is what is judged."""

    def __init__(self, server: Server, timeout: float, transport: httpx.BaseTransport | None = None) -> None:
        self.server = server
        self._timeout = timeout
        self._client = httpx.Client(timeout=httpx.Timeout(timeout, connect=10), transport=transport, trust_env=False)

    def send(self, request: Request) -> Answer:
        headers = {"accept": "text/event-stream" if request.streams else "application/json"}
        if request.key is Key.GOOD:
            headers["authorization"] = f"Bearer {self.server.key}"
        elif request.key is Key.WRONG:
            headers["authorization"] = f"Bearer {UNKNOWN_KEY}"
        if request.raw is not None:
            headers["content-type"] = "application/json"
        try:
            with self._client.stream(
                request.method,
                f"{self.server.root}{request.path}",
                headers=headers,
                content=request.raw,
                json=request.body if request.raw is None and request.body is not None else None,
            ) as response:
                content = bytearray()
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > MAX_BYTES:
                        raise NoAnswer(f"more than {MAX_BYTES} bytes")
                return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(content))
        except httpx.TimeoutException:
            raise NoAnswer(f"no whole answer within {self._timeout:g} s of silence") from None
        except httpx.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        self._client.close()
