"""The OpenAPI document and the recordings: they agree but for the listed contradictions, and each of those is real."""

import pytest

import conftest
from compat import framing
from compat.__main__ import SHARED
from compat.openapi import Document
from compat.recordings import Recording


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(conftest.folder_of(SHARED / "openai-openapi" / "openapi.yaml"))


def test_the_document_contradicts_recordings_only_where_it_is_listed(document: Document, recorded: list[Recording]) -> None:
    told = []
    for recording in recorded:
        if recording.answer.status == 200 and not recording.doubtful:
            streams = recording.request.streams
            typed = recording.request.endpoint == "responses"
            values = framing.read(recording.answer.content, typed).chunks if streams else [recording.answer.json]
            told += [f"{recording.name} {d.path} {d.openai}" for d in document.compare(recording.request, values)]
    assert not told
    assert document.used == {listed for listed in document.exceptions if listed.recorded}, (
        "a listed contradiction that no recording shows"
    )


def test_a_wrong_body_is_told(document: Document, recorded: list[Recording]) -> None:
    recording = next(r for r in recorded if r.name.startswith("131-chat"))
    body = {**recording.answer.json, "created": "now"}
    assert [d.path for d in document.compare(recording.request, [body])] == ["openapi.body.created"]
