"""Forms of messages: what may differ, and what may not."""

import json
import re

import pytest

import conftest
from compat import probes, refusal
from compat.exchange import ANY
from compat.recordings import Limits, Models


@pytest.mark.parametrize(
    ("error", "model", "text", "fits"),
    [
        ("The model `a-b` does not exist.", "a-b", "The model `c` does not exist.", True),
        ("The model `a-b` does not exist.", "a-b", "The model 'c' does not exist.", False),
        (
            "Incorrect API key provided: bad-*****test. You can find it",
            None,
            "Incorrect API key provided: sk-x***y. You can find it",
            True,
        ),
        ("Incorrect API key provided: bad-*****test. You can find it", None, "Incorrect API key provided: sk-x***y.", False),
        ("Expected a value >= 0, but got -1 instead.", None, "Expected a value >= 0, but got -1 instead.", True),
        ("Expected a value >= 0, but got -1 instead.", None, "Expected a value >= 1, but got -1 instead.", False),
        (
            "Minimum value is 0, maximum value is 100257 (inclusive).",
            None,
            "Minimum value is 0, maximum value is 49151 (inclusive).",
            True,
        ),
        ("The model `x` has been deprecated, learn more", "x", "The model `x` does not exist", True),
        ("A (B) [C] *", None, "A (B) [C] *", True),
    ],
)
def test_forms(error: str, model: str | None, text: str, fits: bool) -> None:
    form = refusal.form_of({"message": error, "type": "t", "param": None, "code": None}, model)
    assert refusal.matches(form.message, text) is fits


def test_probes_say_what_was_quoted() -> None:
    """Every quoted error that can be provoked has its probe, with the same form."""
    stored = json.loads(conftest.folder_of(conftest.FOLDER / "quoted_errors.json").read_text())
    forms = [(e.expected.status, e.expected.refusal) for e in probes.load(Models("m", "m", "e"), Limits()) if e.expected.refusal]
    missing = []
    for case in stored["cases"]:
        error, request = case["expect"]["error"], case["request"]
        if request is None or "/responses" in request["path"] or case["confidence"].startswith("medium: only status"):
            continue
        if not any(
            status == case["expect"]["status"]
            and all(getattr(form, key) in (ANY, error[key]) for key in ("type", "param", "code") if key in error)
            and _alike(form.message, error["message"])
            for status, form in forms
        ):
            missing.append(case["id"])
    assert not missing


def _alike(form: str, message: str) -> bool:
    """The same but for positions in lists, which depend on the example, and names that it makes up."""

    def plain(text: str) -> str:
        return re.sub(r"does-not-exist|no-such-model", "x", re.sub(r"\S*\*\*\*\S*|\{key\}\.", "{key}.", text))

    return plain(form) == plain(message) or refusal.matches(form, message)
