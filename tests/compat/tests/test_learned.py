"""Recordings newer than the contract: what they add to it, and what they cannot."""

import pytest

from compat.contract import Contract, Learned, Part
from compat.divergence import ABSENT

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
TAGS = frozenset({"plain"})


def learned(times: int, old: bool = False, kind: str = "plain") -> Learned:
    found = Learned()
    for _ in range(times):
        found.add(Part("completions.usage", "", {**USAGE, "novel": 1}), kind, old)
    return found


@pytest.mark.parametrize(
    ("found", "extra_allowed", "missing_allowed"),
    [
        (Learned(), False, True),
        (learned(1), True, True),
        (learned(3), True, False),
        (learned(3, old=True), True, True),
        (learned(3, kind="reasoning"), False, True),
    ],
    ids=["none", "once", "always", "always, long ago", "another kind of model"],
)
def test_a_novel_key(contract: Contract, found: Learned, extra_allowed: bool, missing_allowed: bool) -> None:
    extra = contract.examine("completions.usage", {**USAGE, "novel": 1}, "usage", TAGS, found).divergences
    missing = contract.examine("completions.usage", USAGE, "usage", TAGS, found).divergences
    assert (extra == []) is extra_allowed
    assert (missing == []) is missing_allowed
    for divergence in extra + missing:
        assert divergence.path == "usage.novel" and ABSENT in (divergence.openai, divergence.server)


def test_the_contract_decides_where_it_speaks(contract: Contract) -> None:
    found = Learned()
    for _ in range(3):
        found.add(Part("completions.chunk.choices", "", {"usage": None}), "plain", False)
    value = {"id": "cmpl-" + "a" * 29, "object": "text_completion", "created": 1, "choices": [], "model": "m", "usage": None}
    divergences = contract.examine("completions.chunk", value, "stream[0]", TAGS, found).divergences
    assert [divergence.path for divergence in divergences] == ["stream[0].usage"]
