"""The order of events in a stream of responses.

Every recording: `response.created`, `response.in_progress`, then item after item, and the whole response at the end, in which the
items are as they were told. An item is added empty, grows by deltas, says at its end what it has become, and is done before
the next one is added. Numbers rise by one. There is no `[DONE]`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .divergence import ABSENT, Divergence, short
from .untrusted import listing, mapping, text

LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
DELTAS = {
    "response.output_text.delta": ("response.output_text.done", "text"),
    "response.reasoning_text.delta": ("response.reasoning_text.done", "text"),
    "response.reasoning_summary_text.delta": ("response.reasoning_summary_text.done", "text"),
    "response.function_call_arguments.delta": ("response.function_call_arguments.done", "arguments"),
}
DONE = {done: key for done, key in DELTAS.values()}


@dataclass
class Reading:
    # The response at the end.
    response: dict[str, Any] = field(default_factory=dict)
    # The kinds of events, each once per run: what a live comparison shows of a stream.
    course: list[str] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)


@dataclass
class Open:
    """The item that grows."""

    index: int
    id: Any
    grown: str = ""


def read(events: list[dict[str, Any]], tags: frozenset[str]) -> Reading:
    reading = Reading()
    out = reading.divergences
    out.extend(_frame(events, tags))
    item: Open | None = None
    done: list[Any] = []
    for number, event in enumerate(events):
        path, kind = f"stream[{number}]", text(event.get("type"))
        if not reading.course or reading.course[-1] != kind:
            reading.course.append(kind)
        if kind == "response.output_item.added":
            if item is not None:
                out.append(Divergence(path, "an item is done before the next one is added", short(event)))
            if event.get("output_index") != len(done):
                out.append(Divergence(f"{path}.output_index", f"{len(done)}, the next item", short(event.get("output_index"))))
            added = mapping(event.get("item"))
            if added.get("content") or added.get("arguments") or added.get("summary"):
                out.append(Divergence(f"{path}.item", "an item is added empty", short(added)))
            item = Open(len(done), added.get("id"))
        elif kind == "response.output_item.done":
            whole = event.get("item")
            if item is None or mapping(whole).get("id") != item.id:
                out.append(Divergence(f"{path}.item.id", short(item.id) if item else "an item that was added", short(whole)))
            done.append(whole)
            item = None
        elif "item_id" in event:
            out.extend(_of_item(event, kind, item, path))
        if kind in LAST:
            reading.response = mapping(event.get("response"))
    output = reading.response.get("output")
    if kind_of_end(events) != "response.failed" and output != done:
        out.append(Divergence("stream.output", f"the items as they were done: {short(done)}", short(output)))
    return reading


def kind_of_end(events: list[dict[str, Any]]) -> str:
    return text(events[-1].get("type")) if events else ""


def _of_item(event: dict[str, Any], kind: str, item: Open | None, path: str) -> Iterator[Divergence]:
    if item is None:
        yield Divergence(path, "only of an item that was added", short(event))
        return
    for key, wanted in (("item_id", item.id), ("output_index", item.index)):
        if event.get(key) != wanted:
            yield Divergence(f"{path}.{key}", short(wanted), short(event.get(key)))
    if kind in DELTAS:
        if event.get("delta") == "":
            yield Divergence(f"{path}.delta", "something in every delta", '""')
        item.grown += text(event.get("delta"))
    elif kind in DONE:
        if event.get(DONE[kind]) != item.grown:
            yield Divergence(f"{path}.{DONE[kind]}", f"the deltas together: {short(item.grown)}", short(event.get(DONE[kind])))
        # A part of an item is told again by what closes it.
        if not kind.endswith("summary_text.done"):
            return
        item.grown = ""
    elif kind == "response.content_part.done" and mapping(event.get("part")).get("text", item.grown) != item.grown:
        yield Divergence(f"{path}.part.text", f"the deltas together: {short(item.grown)}", short(event.get("part")))


def _frame(events: list[dict[str, Any]], tags: frozenset[str]) -> Iterator[Divergence]:
    """How it begins and ends, and what runs through it."""
    kinds = [text(event.get("type")) for event in events]
    if kinds[:1] != ["response.created"]:
        yield Divergence("stream[0].type", "response.created", short(kinds[:1]))
    if kinds[1:2] not in (["response.in_progress"], ["response.queued"]):
        yield Divergence("stream[1].type", "response.in_progress", short(kinds[1:2]))
    ends = [number for number, kind in enumerate(kinds) if kind in LAST]
    if ends != [len(events) - 1]:
        yield Divergence("stream.end", "one event that ends it, at the end", short([kinds[number] for number in ends]) if ends else ABSENT)
    if "old" not in tags:
        numbers = [event.get("sequence_number") for event in events]
        if numbers != list(range(len(events))):
            yield Divergence("stream[].sequence_number", "0, 1, 2, ...", short(numbers))
    ids = {text(mapping(event.get("response")).get("id")) for event in events if "response" in event}
    if len(ids) > 1:
        yield Divergence("stream[].response.id", "one id", short(sorted(ids)))
    deltas = [event for event, kind in zip(events, kinds, strict=True) if kind in DELTAS]
    if len({"obfuscation" in event for event in deltas}) > 1:
        yield Divergence("stream[].obfuscation", "on every delta or on none", "on some")
    for number, event in enumerate(events[:2]):
        if listing(mapping(event.get("response")).get("output")):
            yield Divergence(f"stream[{number}].response.output", "[]", short(event["response"]["output"]))
