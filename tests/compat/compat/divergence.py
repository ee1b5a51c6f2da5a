"""One difference between what OpenAI sends and what this server sends, told from both sides."""

import json
import re
from dataclasses import dataclass
from typing import Any

ABSENT = "(absent)"


@dataclass(frozen=True)
class Divergence:
    """`path` says where (`body.choices[0].message`, `headers.x-request-id`, `stream[3].usage`); both sides are short texts."""

    path: str
    openai: str
    server: str

    @property
    def place(self) -> str:
        """The path without positions, which is what an allow-list names and what equal divergences of a stream share."""
        return re.sub(r"\[\d+\]", "[]", self.path)


def short(value: Any, limit: int = 120) -> str:
    """A value as it is printed in a report."""
    text = value if isinstance(value, str) and value.startswith("(") else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def merged(divergences: list[Divergence]) -> list[Divergence]:
    """The same difference in many chunks is said once, with how often it occurs."""
    first: dict[tuple[str, str], Divergence] = {}
    count: dict[tuple[str, str], int] = {}
    for divergence in divergences:
        key = (divergence.place, divergence.openai)
        first.setdefault(key, divergence)
        count[key] = count.get(key, 0) + 1
    return [d if count[key] == 1 else Divergence(d.path, d.openai, f"{d.server} ({count[key]} times)") for key, d in first.items()]
