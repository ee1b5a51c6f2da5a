"""Holds bodies and chunks against the schemas of OpenAI's own OpenAPI document.

Where the document contradicts what OpenAI really sends, the recordings win: those places are listed with their reason in
`contract/openapi_exceptions.yaml`, and a test says when one of them is used by no recording any more.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from .contract import FOLDER
from .divergence import Divergence, short
from .exchange import Request

SCHEMAS = {
    "chat": "CreateChatCompletionResponse",
    "chat_stream": "CreateChatCompletionStreamResponse",
    "completions": "CreateCompletionResponse",
    "completions_stream": "CreateCompletionResponse",
    "embeddings": "CreateEmbeddingResponse",
    "models": "ListModelsResponse",
    # Not its events: each is one of fifty, and the nulls of the response in it fail all of them at once.
    "responses": "Response",
    "model": "Model",
}


@dataclass(frozen=True)
class Contradiction:
    schema: str
    path: str
    says: str
    reason: str
    recorded: bool = True

    def covers(self, schema: str, path: str, message: str) -> bool:
        return self.schema == schema and self.path == path and re.search(self.says, message) is not None


def exceptions() -> list[Contradiction]:
    stored = yaml.safe_load((FOLDER / "openapi_exceptions.yaml").read_text(encoding="utf-8"))
    return [Contradiction(**entry) for entry in stored]


class Document:
    def __init__(self, path: Path) -> None:
        registry: Registry[Any] = Registry().with_resource("openapi", DRAFT202012.create_resource(_parsed(path)))
        self.exceptions = exceptions()
        self.used: set[Contradiction] = set()
        self._validators = {
            key: Draft202012Validator({"$ref": f"openapi#/components/schemas/{name}"}, registry=registry)
            for key, name in SCHEMAS.items()
        }

    def compare(self, request: Request, values: list[Any]) -> Iterator[Divergence]:
        """`values` is the body of a 200, or the chunks of a stream."""
        key = request.endpoint
        if request.streams:
            key += "_stream"
        elif key == "models" and not request.path.rstrip("/").endswith("/models"):
            key = "model"
        if key not in SCHEMAS:
            return
        for number, value in enumerate(values):
            where = f"stream[{number}]" if request.streams else "body"
            for error in self._validators[key].iter_errors(value):
                yield from self._told(SCHEMAS[key], error, where)

    def _told(self, schema: str, error: ValidationError, where: str) -> Iterator[Divergence]:
        steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path]
        path = "".join(steps)
        pattern = re.sub(r"\[\d+\]", "[]", path).removeprefix(".")
        for exception in self.exceptions:
            if exception.covers(schema, pattern, error.message):
                self.used.add(exception)
                return
        yield Divergence(f"openapi.{where}{path}", f"({schema}: {short(error.message, 160)})", short(error.instance))


@cache
def _parsed(path: Path) -> Any:
    """The document, which takes seconds to parse: the quick parser where PyYAML was built with it."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
