"""The catalogue of the suite's own requests: complete, unambiguous, and free of the recordings' texts."""

from collections import Counter

import pytest

from compat import probes
from compat.contract import Contract
from compat.recordings import Limits, Models, Recording

# Entries that no request from outside can show, each with what shows them instead.
ELSEWHERE = {
    "C10": "errors after the stream began need an engine that dies",
    "C20": "reasoning is no field of OpenAI's",
    "C29": "the Responses API",
    "C30": "Anthropic Messages",
    "C31": "needs the engine's side",
}
MODELS = Models("a-model", "b-model", "c-model")


def test_every_entry_of_the_checklist_is_covered() -> None:
    covered = {entry for exchange in probes.load(MODELS, Limits()) for entry in exchange.covers}
    assert covered | ELSEWHERE.keys() == {f"C{number:02}" for number in range(1, 33)}


def test_every_endpoint_streamed_and_not_and_every_class_of_headers(contract: Contract) -> None:
    loaded = probes.load(MODELS, Limits())
    assert len(loaded) >= 120
    assert {exchange.expected.headers for exchange in loaded} == set(contract.headers)
    assert max(Counter(exchange.name for exchange in loaded).values()) == 1


def test_a_missing_model_is_said() -> None:
    loaded = probes.load(Models("a-model"), Limits())
    assert {e.not_applicable for e in loaded if e.request.endpoint == "embeddings"} == {None, "no --embedding-model given"}


def test_a_cap_lowers_limits_and_nothing_else() -> None:
    for before, after in zip(probes.load(MODELS, Limits()), probes.load(MODELS, Limits(cap=3)), strict=True):
        different = {key for key in before.request.fields if before.request.fields[key] != after.request.fields[key]}
        assert different <= {"max_tokens", "max_completion_tokens", "max_output_tokens"}


def test_unknown_fields_are_refused(tmp_path: pytest.TempPathFactory) -> None:
    with pytest.raises(ValueError, match="unknown stutas"):
        list(probes._spread({"name": "x", "stutas": 1}))


def test_no_prompt_is_a_recorded_one(recorded: list[Recording]) -> None:
    def texts(fields: dict[str, object]) -> set[str]:
        messages = fields.get("messages")
        found = (
            [m.get("content") for m in messages if isinstance(m, dict)] if isinstance(messages, list) else [fields.get("prompt")]
        )
        return {text for text in found if isinstance(text, str) and len(text) > 12}

    ours = set().union(*(texts(exchange.request.fields) for exchange in probes.load(MODELS, Limits())))
    assert not ours & set().union(*(texts(recording.request.fields) for recording in recorded))
