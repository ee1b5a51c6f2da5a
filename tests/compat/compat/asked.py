"""What a request asks for, as the tags and numbers by which its answer is judged."""

from dataclasses import dataclass
from typing import Any

from .exchange import Request
from .kinds import model_kind


@dataclass(frozen=True)
class Asked:
    tags: frozenset[str]
    # How many choices, or embeddings.
    count: int
    # What the answer has to be: `tool_calls`, `function_call`, or None where the model may choose.
    must_call: str | None = None
    may_call: bool = False
    # A function was named: the call is open before the model's first token.
    named: bool = False


def read(request: Request, kind: str | None = None, old: bool = False) -> Asked:
    """`kind` is the kind of the model that answers, by default the one its name says; `old` an answer before 2025-08."""
    fields = request.fields
    tags = {kind or model_kind(str(fields.get("model", "")))}
    if old:
        tags.add("old")
    options = fields.get("stream_options") or {}
    if options.get("include_usage"):
        tags.add("include_usage")
    if options.get("include_obfuscation") is False:
        tags.add("no_obfuscation")
    if request.endpoint == "chat":
        return _chat(fields, tags)
    if request.endpoint == "responses":
        return _responses(fields, tags)
    if request.endpoint == "completions":
        if fields.get("logprobs") is not None:
            tags.add("logprobs")
        return Asked(frozenset(tags), len(prompts(fields.get("prompt", ""))) * (fields.get("n") or 1))
    if fields.get("encoding_format") == "base64":
        tags.add("base64")
    return Asked(frozenset(tags), len(prompts(fields.get("input", ""))))


def prompts(value: Any) -> list[Any]:
    """A prompt or input is a text or one list of token ids; or a list of either."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return value
    return [value]


def _chat(fields: dict[str, Any], tags: set[str]) -> Asked:
    if fields.get("logprobs") is True:
        tags.add("logprobs")
    must = None
    named = False
    choice = fields.get("tool_choice")
    if fields.get("tools"):
        named = isinstance(choice, dict) and choice.get("type") == "function"
        if named or choice == "required":
            must = "tool_calls"
    elif fields.get("functions") and isinstance(fields.get("function_call"), dict):
        must = "function_call"
        named = True
    may = bool(fields.get("tools") or fields.get("functions")) and choice != "none" and fields.get("function_call") != "none"
    return Asked(frozenset(tags), fields.get("n") or 1, must, may, named)


def _responses(fields: dict[str, Any], tags: set[str]) -> Asked:
    if fields.get("conversation"):
        tags.add("conversation")
    choice = fields.get("tool_choice")
    named = isinstance(choice, dict) and choice.get("type") == "function"
    must = "function_call" if fields.get("tools") and (named or choice == "required") else None
    return Asked(frozenset(tags), 1, must, bool(fields.get("tools")) and choice != "none", named)


def demands_call(request: Request) -> bool:
    """Whether the answer has to be a call, which a low limit of tokens would cut off before it can be recognised."""
    return request.endpoint in ("chat", "responses") and read(request).must_call is not None
