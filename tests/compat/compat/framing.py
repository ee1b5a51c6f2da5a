"""The bytes of an event stream: taken apart into events, and held against the way OpenAI frames them.

OpenAI (all recordings; compat-spec a.2): LF line ends, one `data: ` line per event, one blank line after every event, `[DONE]`
last and closed by a blank line too, no `event:`, `id:` or `retry:` lines. Comments keep a connection alive: SDKs tolerate them
between events and nowhere else (C11).
"""

import json
from dataclasses import dataclass
from typing import Any

from .divergence import Divergence, short

DONE = "[DONE]"


@dataclass(frozen=True)
class Stream:
    # The JSON of each event but `[DONE]`, in order.
    chunks: list[dict[str, Any]]
    done: bool
    divergences: list[Divergence]


def read(content: bytes, typed: bool = False) -> Stream:
    """`typed`: the events of responses, each with its type on a line of its own before its data, and no `[DONE]`."""
    divergences: list[Divergence] = []

    def wrong(path: str, openai: str, server: str) -> None:
        divergences.append(Divergence(path, openai, server))

    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        wrong("stream.framing", "UTF-8", f"{error.object[error.start : error.start + 8]!r}")
        text = content.decode(errors="replace")
    if "\r" in text:
        wrong("stream.framing", "lines end with LF", "CR")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n\n"):
        wrong("stream.framing", "the last event is closed by a blank line", repr(text[-24:]))
    elif text.endswith("\n\n\n"):
        wrong("stream.framing", "one blank line after an event", repr(text[-24:]))

    chunks: list[dict[str, Any]] = []
    done = 0
    for number, block in enumerate(block for block in text.split("\n\n") if block.strip("\n")):
        path = f"stream[{number}]"
        if block.startswith("\n"):
            wrong(f"{path}.framing", "one blank line after an event", repr(block[:24]))
        lines = [line for line in block.split("\n") if line]
        comments = [position for position, line in enumerate(lines) if line.startswith(":")]
        fields = [line for line in lines if not line.startswith(":")]
        if fields and any(position > 0 for position in comments):
            wrong(f"{path}.framing", "comments only between events", repr(block[:60]))
        if not fields:
            continue
        kind = None
        if typed:
            if len(fields) != 2 or not fields[0].startswith("event: ") or not fields[1].startswith("data:"):
                wrong(f"{path}.framing", "`event: ` and one `data: ` line per event", repr(block[:60]))
            kind = fields[0].removeprefix("event: ")
        elif len(fields) > 1 or not fields[0].startswith("data:"):
            wrong(f"{path}.framing", "one `data: ` line per event and no other field", repr(block[:60]))
        data = "\n".join(line[5:] for line in fields if line.startswith("data:"))
        if not data.startswith(" "):
            wrong(f"{path}.framing", "`data: ` with a space", repr(block[:24]))
        data = data.removeprefix(" ")
        if done:
            wrong(path, "nothing after [DONE]", short(data))
        if data == DONE:
            if typed:
                wrong(path, "no [DONE]", short(data))
            done += 1
            continue
        try:
            chunk = json.loads(data)
        except ValueError:
            wrong(path, "JSON or [DONE]", short(data))
            continue
        if isinstance(chunk, dict):
            chunks.append(chunk)
            if kind is not None and chunk.get("type") != kind:
                wrong(f"{path}.type", short(kind), short(chunk.get("type")))
        else:
            wrong(path, "a JSON object", short(chunk))
    if not done and not typed:
        wrong("stream.done", "data: [DONE] at the end", "(absent)")
    return Stream(chunks, done > 0, divergences)
