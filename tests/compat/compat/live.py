"""Compares two servers: the same request to both, the shape of one answer against that of the other.

Values differ and are not compared; keys, types, nulls, headers, refusals and the course of a stream are. Parts that only one of
the answers has because its model chose otherwise (a text here, a call there) cannot be compared and are not.
"""

import re
from collections.abc import Iterator
from typing import Any

from .divergence import ABSENT, Divergence, short
from .exchange import Answer, Request
from .headers import FAMILIES
from .judge import Judgement

# Kinds of which an answer has as many as its model makes: that one side lacks them says nothing.
CHOSEN = re.compile(
    r"chat\.(message|delta|delta_call|delta_function|delta_arguments|tool_call|function|token|top_token)\b.*"
    r"|responses\.(item|part|event|token|top_token|incomplete_details)\b.*"
)
# Keys whose null or value is the model's choice.
CHOICES = {"completed_at", "incomplete_details", "finish_reason", "content", "system_fingerprint", "obfuscation", "logprobs", "token_logprobs", "top_logprobs"}


def compare(request: Request, ours: Answer, theirs: Answer, our: Judgement, their: Judgement) -> Iterator[Divergence]:
    """`theirs` takes the place of OpenAI in what is told."""
    if ours.status != theirs.status:
        yield Divergence("live.status", _status(theirs), _status(ours))
        return
    yield from _headers(ours, theirs)
    if ours.status != 200:
        yield from _errors(ours.json, theirs.json)
        return
    ours_by_kind, theirs_by_kind = _shapes(our), _shapes(their)
    for kind in sorted(ours_by_kind.keys() | theirs_by_kind.keys()):
        if kind not in ours_by_kind or kind not in theirs_by_kind:
            if not CHOSEN.fullmatch(kind):
                here, there = kind in ours_by_kind, kind in theirs_by_kind
                yield Divergence(f"live.{kind}", f"({kind})" if there else ABSENT, f"({kind})" if here else ABSENT)
            continue
        yield from _keys(kind, ours_by_kind[kind], theirs_by_kind[kind])
    if request.streams:
        yield from _courses(our, their)


def _courses(our: Judgement, their: Judgement) -> Iterator[Divergence]:
    """Framing and order, by the way in which either departs from the contract's where the other does not."""
    if len(our.courses) != len(their.courses):
        yield Divergence("live.choices", f"{len(their.courses)} choices", f"{len(our.courses)} choices")
    ours = {d.openai: d for d in our.divergences if d.path.startswith("stream")}
    theirs = {d.openai: d for d in their.divergences if d.path.startswith("stream")}
    for rule, divergence in ours.items():
        if rule not in theirs:
            yield Divergence(f"live.{divergence.path}", f"(follows) {rule}", divergence.server)
    for rule, divergence in theirs.items():
        if rule not in ours:
            yield Divergence(f"live.{divergence.path}", divergence.server, f"(follows) {rule}")


def _status(answer: Answer) -> str:
    return str(answer.status) if answer.status == 200 else f"{answer.status} {short(answer.content.decode(errors='replace'), 160)}"


def _headers(ours: Answer, theirs: Answer) -> Iterator[Divergence]:
    def known(answer: Answer) -> set[str]:
        return {name for name in answer.headers if name.startswith(FAMILIES) or name == "x-request-id"}

    for name in sorted(known(ours) ^ known(theirs)):
        yield Divergence(f"live.headers.{name}", short(theirs.headers.get(name, ABSENT)), short(ours.headers.get(name, ABSENT)))
    if ours.headers.get("content-type") != theirs.headers.get("content-type"):
        yield Divergence(
            "live.headers.content-type",
            short(theirs.headers.get("content-type", ABSENT)),
            short(ours.headers.get("content-type", ABSENT)),
        )


def _errors(ours: Any, theirs: Any) -> Iterator[Divergence]:
    mine = ours.get("error") if isinstance(ours, dict) else None
    other = theirs.get("error") if isinstance(theirs, dict) else None
    if not isinstance(mine, dict) or not isinstance(other, dict):
        if (mine is None) != (other is None) or type(mine) is not type(other):
            yield Divergence("live.body.error", short(other), short(mine))
        return
    for key in sorted(mine.keys() | other.keys()):
        here, there = mine.get(key, ABSENT), other.get(key, ABSENT)
        if key == "message":
            here, there = _worded(here), _worded(there)
        if here != there:
            yield Divergence(f"live.body.error.{key}", short(other.get(key, ABSENT), 240), short(mine.get(key, ABSENT), 240))


def _worded(message: Any) -> Any:
    """A message without what is each server's own: names in quotes, numbers, ids and masks of keys."""
    if not isinstance(message, str):
        return message
    message = re.sub(r"[`'\"][^`'\"]*[`'\"]", "'x'", message)
    message = re.sub(r"\S*\*{3,}\S*", "x", message)
    return re.sub(r"\breq_\w+|\d+(\.\d+)?", "0", message)


def _shapes(judgement: Judgement) -> dict[str, dict[str, set[str]]]:
    """Per kind of part: each key with the types it was seen with, `absent` among them."""
    shapes: dict[str, dict[str, set[str]]] = {}
    count: dict[str, int] = {}
    seen: dict[tuple[str, str], int] = {}
    for part in judgement.parts:
        count[part.kind] = count.get(part.kind, 0) + 1
        for key, value in part.value.items():
            shapes.setdefault(part.kind, {}).setdefault(key, set()).add(_type(value))
            seen[part.kind, key] = seen.get((part.kind, key), 0) + 1
        shapes.setdefault(part.kind, {})
    for (kind, key), times in seen.items():
        if times < count[kind]:
            shapes[kind][key].add("absent")
    return shapes


def _keys(kind: str, ours: dict[str, set[str]], theirs: dict[str, set[str]]) -> Iterator[Divergence]:
    for key in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(key, {"absent"}), theirs.get(key, {"absent"})
        if key in CHOICES:
            here, there = here - {"null", "absent"}, there - {"null", "absent"}
            if not here or not there:
                here = there = set()
        if here != there:
            yield Divergence(f"live.{kind}.{key}", _told(there), _told(here))
        if key in CHOICES and (key in ours) != (key in theirs):
            yield Divergence(f"live.{kind}.{key}", "present" if key in theirs else ABSENT, "present" if key in ours else ABSENT)


def _told(types: set[str]) -> str:
    return ABSENT if types == {"absent"} else " or ".join(sorted(types))


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number" if isinstance(value, float) else "integer"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
