"""The allow-list: what an entry covers, and what it must not."""

import pytest
from compat.allow import AllowList, Entry
from compat.divergence import Divergence


@pytest.mark.parametrize(
    ("exchange", "path", "covered"),
    [
        ("*", "body.choices[].logprobs", True),
        ("chat/*", "body.choices[].logprobs", True),
        ("completions/*", "body.choices[].logprobs", False),
        ("*", "body.choices.logprobs", False),
        ("*", "body.choices[]", False),
        ("*", "body.*", True),
        ("*", "stream*", False),
    ],
)
def test_an_entry(exchange: str, path: str, covered: bool) -> None:
    divergence = Divergence("body.choices[3].logprobs", "null", "(absent)")
    allow = AllowList([Entry(exchange, path, "because")])
    assert (allow.reason("chat/whole/text", divergence) == "because") is covered
    assert (allow.unused() == []) is covered


def test_what_depends_on_the_model_is_never_unused() -> None:
    assert AllowList([Entry("*", "x", "because", sometimes=True)]).unused() == []


def test_the_list_is_short_and_reasoned() -> None:
    entries = AllowList.read().entries
    assert len(entries) < 10
    assert all(len(entry.reason) > 30 for entry in entries)
    assert not any(
        entry.covers("any/exchange", Divergence(path, "", ""))
        for entry in entries
        for path in ("body.id", "stream[1].choices[0].delta", "status")
    )
