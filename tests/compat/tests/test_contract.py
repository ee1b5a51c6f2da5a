"""The contract is neither too strict (test_no_false_alarm.py) nor too lax: what it leaves open, recordings leave open too."""

from collections import Counter

import pytest

import as_sent
from compat import asked, recordings
from compat.contract import Contract, Rule, alternatives
from compat.recordings import Recording

# Whether a key is there, which today's recordings cannot decide: it is asked for, or padding.
OPEN = {"obfuscation"}


@pytest.fixture(scope="module")
def today(contract: Contract, recorded: list[Recording]) -> dict[str, list[tuple[frozenset[str], dict[str, object]]]]:
    """Every part of every answer since 2025-08, by its kind, with the tags of its request."""
    found: dict[str, list[tuple[frozenset[str], dict[str, object]]]] = {}
    for recording in recorded:
        if recording.answer.status == 200 and not recording.old and recording.name not in as_sent.MADE_UP:
            tags = asked.read(recording.request, recording.model_kind).tags
            for part, value in recordings.bodies(recording):
                for one in contract.examine(part, value, "", tags).parts:
                    found.setdefault(one.kind, []).append((tags, one.value))
    return found


def test_what_is_always_there_is_required(
    contract: Contract, today: dict[str, list[tuple[frozenset[str], dict[str, object]]]]
) -> None:
    lax = []
    for kind, parts in today.items():
        always = {key for key in parts[0][1] if all(key in value for _, value in parts)}
        for key in always - OPEN:
            rules = [contract.rule(kind, key, tags) for tags, _ in parts]
            if any(rule is None or rule.get("may") for rule in rules):
                lax.append(f"{kind}.{key}")
    assert not lax


def test_what_is_allowed_was_recorded_or_has_a_source(contract: Contract, recorded: list[Recording]) -> None:
    """A null, an enum's value or a whole part that no recording shows needs a `source`."""
    nulls: Counter[tuple[str, str]] = Counter()
    values: set[tuple[str, str, object]] = set()
    kinds: set[str] = set()
    for recording in recorded:
        if recording.answer.status == 200:
            tags = asked.read(recording.request, recording.model_kind, recording.old).tags
            for part, value in recordings.bodies(recording):
                for one in contract.examine(part, value, "", tags).parts:
                    kinds.add(one.kind)
                    for key, found in one.value.items():
                        nulls[one.kind, key] += found is None
                        if isinstance(found, str):
                            values.add((one.kind, key, found))
    unfounded = []
    for part, key, rule in alternatives(contract.parts):
        if "source" in rule or part.startswith("error.") or part not in kinds:
            continue
        if rule.get("null") and not nulls[part, key]:
            unfounded.append(f"{part}.{key}: null")
        unfounded += [f"{part}.{key}: {option}" for option in rule.get("one_of", []) if (part, key, option) not in values]
    assert not unfounded


def test_parts_without_recordings_are_known_by_name(contract: Contract, recorded: list[Recording]) -> None:
    """What the contract says without any recording is little, and listed here."""
    kinds = set()
    for recording in recorded:
        tags = asked.read(recording.request, recording.model_kind, recording.old).tags
        for part, value in [("error.envelope", recording.answer.json)] if recording.error else recordings.bodies(recording):
            kinds |= {one.kind for one in contract.examine(part, value, "", tags).parts}
    assert (
        set(contract.parts) - kinds
        == {
            "nothing",
            "chat.top_token",  # top_logprobs: the OpenAPI document
            "chat.delta.role_function",  # a streamed legacy function: as a streamed call, by compat-spec a.1 and a.2
            "chat.delta.function",
            "chat.delta.refusal",  # a streamed refusal: the OpenAPI document
            "completions.logprobs",  # the OpenAPI document
            "responses.error",  # a response that has failed: the OpenAPI document
            "responses.item.unknown",  # of hosted tools: no answer to a request without them
            "responses.part.unknown",
            "responses.part.refusal",  # the OpenAPI document
            "responses.part.reasoning_text",  # the OpenAPI document
            "responses.format.unknown",
            "responses.event.unknown",
            "responses.token",  # the OpenAPI document
            "responses.top_token",
        }
        - kinds
    )


def test_rules_are_well_formed(contract: Contract) -> None:
    words = {"if", "type", "form", "is", "one_of", "part", "each", "null", "may", "since", "source"}
    for part, key, rule in alternatives(contract.parts):
        assert set(rule) <= words, f"{part}.{key}"
        assert len({"type", "form", "is", "one_of", "part", "each"} & set(rule)) == 1, f"{part}.{key}"
        for form in _forms(rule):
            assert form in contract.forms, f"{part}.{key}"


def _forms(rule: Rule) -> list[str]:
    return [rule["form"]] if "form" in rule else _forms(rule["each"]) if "each" in rule else []
