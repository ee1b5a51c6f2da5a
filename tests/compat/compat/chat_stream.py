"""The order of chunks in a chat stream, as a small state machine per choice.

compat-spec a.2: `role (content)* finish`, or with tools; then the usage chunk, where it was asked for. Id, time and model stay
the same. Text and finish reason never share a chunk; role, finish, id and name of a call come once; calls come one after the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .divergence import ABSENT, Divergence, short
from .kinds import chunk_kind, delta_kind
from .untrusted import indexed, mapping, objects, text

CONSTANT = ("id", "object", "created", "model", "service_tier", "system_fingerprint")


@dataclass
class Choice:
    """What was seen of one choice."""

    index: int
    opened: str | None = None
    finish: str | None = None
    text: str = ""
    refusal: str = ""
    function: dict[str, str] | None = None
    calls: list[dict[str, str]] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)
    # The kinds of its deltas, each once per run: what a live comparison shows of a stream.
    course: list[str] = field(default_factory=list)

    def message(self) -> dict[str, Any]:
        """The message that a client has put together: of the same kinds as an unstreamed one."""
        calls = [{"id": c["id"], "function": {"name": c["name"], "arguments": c["arguments"]}} for c in self.calls]
        return {
            "content": self.text,
            **({"tool_calls": calls} if calls else {}),
            **({"function_call": self.function} if self.function else {}),
            **({"refusal": self.refusal} if self.refusal else {}),
        }


@dataclass
class Reading:
    choices: dict[int, Choice] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    divergences: list[Divergence] = field(default_factory=list)


def read(chunks: list[dict[str, Any]], tags: frozenset[str]) -> Reading:
    reading = Reading()
    out = reading.divergences
    out.extend(constancy(chunks))
    out.extend(usage_rules(chunks, tags))
    first_finish: int | None = None
    for number, chunk in enumerate(chunks):
        path = f"stream[{number}]"
        if chunk_kind(chunk) == "usage":
            reading.usage = mapping(chunk["usage"]) or None
            continue
        entries = chunk.get("choices")
        if not isinstance(entries, list) or len(entries) != 1:
            out.append(Divergence(f"{path}.choices", "one choice per chunk", short(entries)))
        for entry in indexed(entries):
            if not isinstance(entry.get("delta"), dict):
                continue
            index = entry["index"]
            if index not in reading.choices and not reading.choices and index != 0:
                out.append(Divergence(f"{path}.choices[0].index", "the first chunk is of choice 0", short(index)))
            choice = reading.choices.setdefault(index, Choice(index))
            out.extend(_step(choice, entry, f"{path}.choices[0]", tags))
            if choice.finish is not None and first_finish is None:
                first_finish = number
            elif first_finish is not None and entry.get("finish_reason") is None:
                out.append(Divergence(path, "finish chunks of all choices come last", short(entry)))
    for choice in reading.choices.values():
        if choice.finish is None:
            out.append(Divergence(f"stream.choices[{choice.index}].finish_reason", "one finish chunk", ABSENT))
        if choice.opened == "role_calls" and len(choice.calls) < 2:
            out.append(Divergence("stream.first_call", "role and call in one chunk, for exactly one call", "role alone"))
        if choice.opened == "role_call" and len(choice.calls) > 1:
            out.append(Divergence("stream.first_call", "the role alone first, for several calls", "role and first call"))
    if not reading.choices:
        out.append(Divergence("stream", "chunks with choices", ABSENT))
    return reading


def constancy(chunks: list[dict[str, Any]]) -> Iterator[Divergence]:
    """C13: the envelope is that of the first chunk."""
    for number, chunk in enumerate(chunks[1:], start=1):
        for key in CONSTANT:
            if key in chunks[0] and chunk.get(key, ABSENT) != chunks[0][key]:
                told = short(chunk.get(key, ABSENT))
                yield Divergence(f"stream[{number}].{key}", "as in the first chunk", f"{short(chunks[0][key])}, then {told}")
        if ("obfuscation" in chunk) != ("obfuscation" in chunks[0]):
            yield Divergence(f"stream[{number}].obfuscation", "on every chunk or on none", short(chunk.get("obfuscation", ABSENT)))


def usage_rules(chunks: list[dict[str, Any]], tags: frozenset[str]) -> Iterator[Divergence]:
    """C05: asked for, one chunk with `choices: []` and the usage, at the very end; otherwise none."""
    found = [number for number, chunk in enumerate(chunks) if chunk_kind(chunk) == "usage"]
    if "include_usage" not in tags:
        return  # an unwanted `usage` is an extra key, which the contract says
    if not found:
        yield Divergence("stream.usage", "one chunk with choices [] and usage", ABSENT)
    elif len(found) > 1:
        yield Divergence("stream.usage", "one usage chunk", f"{len(found)} of them")
    elif found[0] != len(chunks) - 1:
        yield Divergence(f"stream[{found[0]}].usage", "usage in the last chunk", f"chunk {found[0]} of {len(chunks)}")


def _step(choice: Choice, entry: dict[str, Any], path: str, tags: frozenset[str]) -> Iterator[Divergence]:
    delta = entry["delta"]
    kind = delta_kind(delta)
    if not choice.course or choice.course[-1] != kind:
        choice.course.append(kind)
    if choice.finish is not None:
        yield Divergence(path, "nothing after the choice's finish chunk", short(delta))
    if kind.startswith("role"):
        if choice.opened is not None:
            yield Divergence(f"{path}.delta.role", "the role once, in the choice's first chunk", short(delta["role"]))
        choice.opened = choice.opened or kind
    elif choice.opened is None:
        yield Divergence(f"{path}.delta", "the role in the choice's first chunk", short(delta))
        choice.opened = "none"

    finish = entry.get("finish_reason")
    if finish is not None:
        if delta:
            yield Divergence(f"{path}.delta", "{} in the chunk with the finish reason", short(delta))
        choice.finish = finish if isinstance(finish, str) else "?"
    elif kind == "finish":
        yield Divergence(f"{path}.delta", "something in every chunk but the last", short(delta))

    if kind == "content" and choice.calls:
        yield Divergence(f"{path}.delta", "no text after a call", short(delta))
    choice.text += text(delta.get("content"))
    choice.refusal += text(delta.get("refusal"))
    if isinstance(delta.get("function_call"), dict):
        function = choice.function = choice.function or {"name": "", "arguments": ""}
        for key in function:
            function[key] += text(delta["function_call"].get(key))
    if isinstance(delta.get("tool_calls"), list):
        yield from _calls(choice, delta["tool_calls"], f"{path}.delta.tool_calls")
    tokens = objects(mapping(entry.get("logprobs")).get("content"))
    choice.tokens.extend(tokens)
    # C22: a chunk with text has the tokens of that text.
    if "logprobs" in tags and "plain" in tags and kind == "content" and not tokens:
        yield Divergence(f"{path}.logprobs", "(chat.logprobs) of the chunk's text", short(entry.get("logprobs")))


def _calls(choice: Choice, calls: list[Any], path: str) -> Iterator[Divergence]:
    if len(calls) != 1:
        yield Divergence(path, "one call per chunk", short(calls))
    for call in objects(calls):
        index = call.get("index")
        function = mapping(call.get("function"))
        if "id" in call:
            if index != len(choice.calls):
                yield Divergence(f"{path}[0].index", f"{len(choice.calls)}, the next call", short(index))
            if any(call["id"] == known["id"] for known in choice.calls):
                yield Divergence(f"{path}[0].id", "each call's id once", short(call["id"]))
            choice.calls.append({"id": text(call["id"]), "name": text(function.get("name")), "arguments": ""})
        elif index != len(choice.calls) - 1:
            yield Divergence(f"{path}[0].index", f"{len(choice.calls) - 1}, the open call", short(index))
        if choice.calls:
            choice.calls[-1]["arguments"] += text(function.get("arguments"))
