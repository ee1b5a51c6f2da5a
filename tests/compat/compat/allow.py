"""The allow-list: divergences that are known and reasoned. It is short, and an entry that allows nothing any more is reported."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from .divergence import Divergence

FILE = Path(__file__).parent.parent / "allow.yaml"


@dataclass(frozen=True)
class Entry:
    # A pattern for the exchange's name and one for the divergence's place (a path with `[]` for positions): `*` stands for anything.
    exchange: str
    path: str
    reason: str
    # Whether it depends on what the model says, so that a run without it proves nothing.
    sometimes: bool = False

    def covers(self, exchange: str, divergence: Divergence) -> bool:
        # Brackets are a path's own here, and no set of characters.
        path = self.path.replace("[]", "[[]]")
        return fnmatchcase(exchange, self.exchange) and fnmatchcase(divergence.place, path)


class AllowList:
    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.used: set[Entry] = set()

    @classmethod
    def read(cls, *more: Path) -> "AllowList":
        """The suite's own list, and further ones for what is one deployment's."""
        stored = [entry for path in (FILE, *more) for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []]
        return cls([Entry(**entry) for entry in stored])

    def reason(self, exchange: str, divergence: Divergence) -> str | None:
        for entry in self.entries:
            if entry.covers(exchange, divergence):
                self.used.add(entry)
                return entry.reason
        return None

    def unused(self) -> list[Entry]:
        return [entry for entry in self.entries if entry not in self.used and not entry.sometimes]
