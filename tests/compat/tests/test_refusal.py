"""Forms of messages: what may differ, and what may not."""

import pytest
from compat import refusal


@pytest.mark.parametrize(
    ("error", "model", "text", "fits"),
    [
        ("The model `a-b` does not exist.", "a-b", "The model `c` does not exist.", True),
        ("The model `a-b` does not exist.", "a-b", "The model 'c' does not exist.", False),
        ("Incorrect API key provided: bad-*****test. You can find it", None, "Incorrect API key provided: sk-x***y. You can find it", True),
        ("Incorrect API key provided: bad-*****test. You can find it", None, "Incorrect API key provided: sk-x***y.", False),
        ("Expected a value >= 0, but got -1 instead.", None, "Expected a value >= 0, but got -1 instead.", True),
        ("Expected a value >= 0, but got -1 instead.", None, "Expected a value >= 1, but got -1 instead.", False),
        ("Minimum value is 0, maximum value is 100257 (inclusive).", None, "Minimum value is 0, maximum value is 49151 (inclusive).", True),
        ("The model `x` has been deprecated, learn more", "x", "The model `x` does not exist", True),
        ("A (B) [C] *", None, "A (B) [C] *", True),
    ],
)
def test_forms(error: str, model: str | None, text: str, fits: bool) -> None:
    form = refusal.form_of({"message": error, "type": "t", "param": None, "code": None}, model)
    assert refusal.matches(form.message, text) is fits
