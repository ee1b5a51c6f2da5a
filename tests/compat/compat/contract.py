"""The contract: what every part of an answer of OpenAI's looks like, and where an answer departs from it.

The rules are in `contract/*.yaml` (`chat.yaml` says how to read them). That they are neither too strict nor too lax is not
claimed but tested: `tests/test_contract.py` holds them against every recording, both ways.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .divergence import ABSENT, Divergence, short
from .kinds import KINDS

FOLDER = Path(__file__).parent.parent / "contract"
RULES = ("chat.yaml", "chat_stream.yaml", "completions.yaml", "embeddings.yaml", "models.yaml", "responses.yaml", "errors.yaml")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "string or array": (str, list),
    "string or object": (str, dict),
}

Rule = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One object of an answer: which part of the contract it is, where it stands, and itself."""

    kind: str
    path: str
    value: dict[str, Any]


@dataclass
class Examination:
    divergences: list[Divergence] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


class Contract:
    def __init__(self) -> None:
        self.parts: dict[str, dict[str, list[Rule]]] = {"nothing": {}}
        for name in RULES:
            for part, keys in _load(name).items():
                self.parts[part] = {key: rule if isinstance(rule, list) else [rule] for key, rule in (keys or {}).items()}
        self.forms: dict[str, str] = _load("forms.yaml")
        self.headers: dict[str, dict[str, Any]] = _load("headers.yaml")["classes"]

    def examine(self, part: str, value: Any, path: str, tags: frozenset[str], learned: "Learned | None" = None) -> Examination:
        """Where `value` departs from `part`, and all parts found in it. `tags` say what was asked of what kind of model."""
        examination = Examination()
        self._object(part, value, path, tags, learned, examination)
        return examination

    def rule(self, part: str, key: str, tags: frozenset[str]) -> Rule | None:
        """The rule that holds for a key, or None where the key must be absent."""
        for rule in self.parts.get(part, {}).get(key, []):
            if all((tag.removeprefix("-") in tags) != tag.startswith("-") for tag in rule.get("if", [])):
                return rule
        return None

    def _object(self, part: str, value: Any, path: str, tags: frozenset[str], learned: "Learned | None", out: Examination) -> None:
        if not isinstance(value, dict):
            out.divergences.append(Divergence(path, f"an object ({part})", short(value)))
            return
        kind = f"{part}.{KINDS[part](value)}" if part in KINDS else part
        out.parts.append(Part(kind, path, value))
        for key in self.parts[kind]:
            rule = self.rule(kind, key, tags)
            if rule is None:
                continue
            if key in value:
                self._value(rule, value[key], f"{path}.{key}", tags, learned, out)
            elif not rule.get("may") and not ("since" in rule and "old" in tags):
                out.divergences.append(Divergence(f"{path}.{key}", _wanted(rule), ABSENT))
        recorded = learned.keys(kind, tags) if learned else {}
        for key in value:
            if self.rule(kind, key, tags) is None and (key in self.parts[kind] or key not in recorded):
                out.divergences.append(Divergence(f"{path}.{key}", ABSENT, short(value[key])))
        for key, always in recorded.items():
            if always and key not in self.parts[kind] and key not in value and "old" not in tags:
                out.divergences.append(Divergence(f"{path}.{key}", "(in every recording of today)", ABSENT))

    def _value(self, rule: Rule, value: Any, path: str, tags: frozenset[str], learned: "Learned | None", out: Examination) -> None:
        if value is None and (rule.get("null") or ("is" in rule and rule["is"] is None)):
            return
        if "part" in rule and isinstance(value, dict):
            self._object(rule["part"], value, path, tags, learned, out)
        elif "each" in rule and isinstance(value, list):
            if rule["each"] == {"part": "nothing"} and value:
                out.divergences.append(Divergence(path, "[]", short(value)))
                return
            for position, item in enumerate(value):
                self._value(rule["each"], item, f"{path}[{position}]", tags, learned, out)
        elif not self._fits(rule, value):
            out.divergences.append(Divergence(path, _wanted(rule), short(value)))

    def _fits(self, rule: Rule, value: Any) -> bool:
        if "is" in rule:
            return type(value) is type(rule["is"]) and bool(value == rule["is"])
        if "one_of" in rule:
            return isinstance(value, str) and value in rule["one_of"]
        if "form" in rule:
            return isinstance(value, str) and self.has_form(rule["form"], value)
        if "type" in rule:
            allowed = TYPES[rule["type"]]
            return isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)
        return False

    def has_form(self, form: str, text: str) -> bool:
        return _compiled(self.forms[form]).fullmatch(text) is not None


@dataclass
class Learned:
    """What recordings add to the contract: keys that OpenAI began to send after the contract was written.

    A key that some recording of a part has is no extra. A key that today's recordings of a part always have (three at least) is
    required. Where the contract speaks of a key, the contract decides.
    """

    _counts: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    _today: dict[tuple[str, str], int] = field(default_factory=dict)
    _today_counts: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def add(self, part: Part, model_kind: str, old: bool) -> None:
        place = (part.kind, model_kind)
        for key in part.value:
            self._counts.setdefault(place, {})[key] = self._counts.setdefault(place, {}).get(key, 0) + 1
        if not old:
            self._today[place] = self._today.get(place, 0) + 1
            counts = self._today_counts.setdefault(place, {})
            for key in part.value:
                counts[key] = counts.get(key, 0) + 1

    def keys(self, kind: str, tags: frozenset[str]) -> dict[str, bool]:
        """The keys seen on a part of a kind of model, each with whether it is always there today."""
        found: dict[str, bool] = {}
        for tag in tags:
            place = (kind, tag)
            today = self._today.get(place, 0)
            for key in self._counts.get(place, {}):
                found[key] = today >= 3 and self._today_counts.get(place, {}).get(key, 0) == today
        return found


def _wanted(rule: Rule) -> str:
    """A rule in words, as the OpenAI side of a divergence."""
    if "is" in rule:
        wanted = short(rule["is"])
    elif "one_of" in rule:
        wanted = "one of " + ", ".join(short(option) for option in rule["one_of"])
    elif "form" in rule:
        wanted = f"({rule['form']})"
    elif "part" in rule:
        wanted = f"({rule['part']})"
    elif "each" in rule:
        wanted = "[]" if rule["each"] == {"part": "nothing"} else f"(array of {_wanted(rule['each']).strip('()')})"
    else:
        wanted = f"({rule['type']})"
    return f"{wanted} or null" if rule.get("null") else wanted


def alternatives(parts: dict[str, dict[str, list[Rule]]]) -> Iterator[tuple[str, str, Rule]]:
    """Every rule of the contract with its part and key."""
    for part, keys in parts.items():
        for key, rules in keys.items():
            for rule in rules:
                yield part, key, rule


def _load(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
