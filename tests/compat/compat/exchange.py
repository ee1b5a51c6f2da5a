"""The nouns of the suite: a request, what a server answered, and an exchange that says what OpenAI answers."""

import json
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any


class Key(Enum):
    """With which key a request is sent."""

    GOOD = "good"
    WRONG = "wrong"
    NONE = "none"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Any = None
    # Sent as it is, where it is not even JSON.
    raw: bytes | None = None
    key: Key = Key.GOOD

    @property
    def endpoint(self) -> str:
        """`chat`, `completions`, `embeddings`, `models`, `responses`, or `other`."""
        name = self.path.removeprefix("/v1/").split("/")[0].split("?")[0]
        return name if name in ("chat", "completions", "embeddings", "models", "responses") else "other"

    @property
    def fields(self) -> dict[str, Any]:
        return self.body if isinstance(self.body, dict) else {}

    @property
    def streams(self) -> bool:
        return self.endpoint in ("chat", "completions", "responses") and self.fields.get("stream") is True


@dataclass(frozen=True)
class Answer:
    """What a server sent, to the byte. Header names are lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @cached_property
    def json(self) -> Any:
        """The body, or None where it is not JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


@dataclass(frozen=True)
class RefusalForm:
    """How OpenAI words a refusal. Values that are `ANY` are not compared; a message may have `{placeholders}` (refusal.py)."""

    message: str
    type: Any
    param: Any
    code: Any


ANY = "{anything}"


@dataclass(frozen=True)
class Expected:
    """What OpenAI answered."""

    status: int
    refusal: RefusalForm | None = None
    # A class of contract/headers.yaml; None where the headers are not to be compared.
    headers: str | None = None
    # The recorded answer, for the other side of a divergence.
    recorded: Answer | None = None


@dataclass(frozen=True)
class Exchange:
    name: str
    request: Request
    expected: Expected
    covers: tuple[str, ...] = ()
    # What a model must be able to do (`images`, `audio`, `files`, `web search`) for this to be answered and not refused.
    needs: frozenset[str] = frozenset()
    # Why this says nothing about a server that answers 200 where OpenAI's model of that day refused.
    only_if_refused: str | None = None
    # Why it cannot be sent at all.
    not_applicable: str | None = None
    # A field that OpenAI does not know and that gateways over vLLM accept.
    vendor: bool = False
    # Whether the answer is that of a model of OpenAI's past, for which `since` in the contract is waived. Only recordings are.
    old: bool = False
    tags: frozenset[str] = field(default_factory=frozenset)


class Verdict(Enum):
    PASSED = "passed"
    ALLOWED = "allowed"
    REFUSED = "refused as OpenAI"
    NOT_APPLICABLE = "not applicable"
    FAILED = "failed"
