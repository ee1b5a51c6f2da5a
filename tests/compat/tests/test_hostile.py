"""Nothing that a server sends breaks the judge: every value of recorded answers, replaced by what does not belong there."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import mutations as m
from compat import live, recordings
from compat.contract import Contract
from compat.judge import Judge
from compat.recordings import Recording

STRANGE: list[Any] = [None, True, 7, -1, 0.5, "x", [], {}, [1], [None], [[]], [{}], {"a": 1}]
RECORDINGS = [
    m.TEXT,
    m.CALLS,
    m.LOGPROBS,
    m.FUNCTION,
    m.USAGE,
    m.STREAM_CALLS,
    m.STREAM_LOGPROBS,
    m.COMPLETIONS,
    m.TEXTS_USAGE,
    m.BATCH,
    m.BASE64,
    m.MODELS,
    m.UNKNOWN,
    m.RESPONSE_CALL,
    m.RESPONSE_STREAM,
    m.RESPONSE_STREAM_CALL,
]


@pytest.mark.parametrize("name", RECORDINGS)
def test_nothing_breaks_the_judge(contract: Contract, recorded: list[Recording], name: str) -> None:
    recording = next(r for r in recorded if r.name == name)
    exchange = recordings.as_recorded(recording)
    judge = Judge(contract, None, recording.model_kind)
    whole = judge.judge(exchange, recording.answer)
    tried = 0
    streams = recording.answer.media_type == "text/event-stream"
    events = recording.answer.content.split(b"\n\n")
    positions = [0, 1, 2, len(events) - 4, len(events) - 3] if streams else [0]
    for position in positions:
        frame, _, data = events[position].rpartition(b"data: ")
        value = json.loads(data) if streams else recording.answer.json
        for changed in _changed(value):
            content = json.dumps(changed).encode()
            if streams:
                content = b"\n\n".join([*events[:position], frame + b"data: " + content, *events[position + 1 :]])
            answer = replace(recording.answer, content=content)
            judgement = judge.judge(exchange, answer)
            list(live.compare(exchange.request, answer, recording.answer, judgement, whole))
            tried += 1
    assert tried > 50


def _changed(value: Any) -> Iterator[Any]:
    """The value with each of its nodes (the first three of an array) replaced by everything strange."""
    for path in _paths(value):
        for strange in STRANGE:
            if not path:
                yield strange
                continue
            changed = copy.deepcopy(value)
            node = changed
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] = strange
            yield changed


def _paths(value: Any) -> Iterator[list[Any]]:
    yield []
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for step, item in items:
        for path in _paths(item):
            yield [step, *path]
