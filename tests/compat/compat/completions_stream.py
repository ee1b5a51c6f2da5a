"""The order of chunks in a stream of POST /v1/completions.

compat-spec a.3: `text` deltas with `finish_reason: null`, and one last chunk per choice, which is empty for `stop` and may carry the
last token for `length`. Several choices may share a chunk. Usage comes as in chat.
"""

from dataclasses import dataclass, field
from typing import Any

from .chat_stream import constancy, usage_rules
from .divergence import ABSENT, Divergence, short
from .kinds import chunk_kind
from .untrusted import indexed, mapping


@dataclass
class Choice:
    index: int
    text: str = ""
    finish: str | None = None


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
    for number, chunk in enumerate(chunks):
        path = f"stream[{number}]"
        if chunk_kind(chunk) == "usage":
            reading.usage = mapping(chunk["usage"]) or None
            continue
        entries = chunk.get("choices")
        if not isinstance(entries, list) or not entries:
            out.append(Divergence(f"{path}.choices", "one choice or more", short(entries)))
            continue
        for position, entry in enumerate(indexed(entries)):
            choice = reading.choices.setdefault(entry["index"], Choice(entry["index"]))
            where = f"{path}.choices[{position}]"
            if choice.finish is not None:
                out.append(Divergence(where, "nothing after the choice's finish chunk", short(entry)))
            text, finish = entry.get("text"), entry.get("finish_reason")
            if finish is None and text == "":
                out.append(Divergence(f"{where}.text", "text in every chunk but the last", short(text)))
            if finish == "stop" and text:
                out.append(Divergence(f"{where}.text", '"" in the chunk with finish_reason stop', short(text)))
            choice.text += text if isinstance(text, str) else ""
            choice.finish = finish if isinstance(finish, str) else choice.finish
    for choice in reading.choices.values():
        if choice.finish is None:
            out.append(Divergence(f"stream.choices[{choice.index}].finish_reason", "one finish chunk", ABSENT))
    if not reading.choices:
        out.append(Divergence("stream", "chunks with choices", ABSENT))
    return reading
