"""Framing: what is tolerated, beside the mutations that are not."""

import pytest

from compat import framing

CHUNK = b'data: {"a": 1}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "content",
    [
        CHUNK + DONE,
        b": keep-alive\n\n" + CHUNK + DONE,
        CHUNK + b": keep-alive\n\n: again\n\n" + DONE,
        b": keep-alive\n" + CHUNK + DONE,
    ],
    ids=["plain", "comment first", "comments between", "comment before its event"],
)
def test_what_every_sdk_reads(content: bytes) -> None:
    stream = framing.read(content)
    assert stream.divergences == []
    assert stream.chunks == [{"a": 1}]
    assert stream.done


@pytest.mark.parametrize("content", [b"", b"\n\n", b"data: 1\n\n", b"\xff", b"data", b":", b"data: {}\n\ndata: {"])
def test_nothing_breaks_it(content: bytes) -> None:
    assert framing.read(content).divergences
