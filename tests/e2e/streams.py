"""What a stream looks like on the wire. Clients differ in what they forgive, so nothing is forgiven here."""

import json


def chunks_of(body):
    """Takes the bytes of a stream apart as strictly as the strictest client: nothing is forgiven.

    Every event is one `data:` line and a blank one, keep-alives are comments, and [DONE] comes once, at the very end.
    """
    assert b"\r" not in body, "line ends are LF"
    assert body.endswith(b"\n\n"), f"the last event is not closed: {body[-80:]!r}"
    events = [event for event in body.removesuffix(b"\n\n").split(b"\n\n") if not event.startswith(b":")]
    for event in events:
        assert event.startswith(b"data: ") and b"\n" not in event, f"not one data line: {event!r}"
    data = [event.removeprefix(b"data: ") for event in events]
    assert data.count(b"[DONE]") == 1 and data[-1] == b"[DONE]", f"[DONE] once and last, not {data[-3:]!r}"
    return [json.loads(item) for item in data[:-1]]


def content_of(chunks, index=0):
    """The text that a chat stream shows for one choice."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(delta.get("content") or "" for delta in deltas)


def check_grammar(chunks, choices, with_usage):
    """The role, the text, the end for each choice, and then the usage where it was asked for."""
    usage_chunks = [chunk for chunk in chunks if not chunk["choices"]]
    if with_usage:
        assert usage_chunks == chunks[-1:], "one usage chunk, and nothing after it"
        assert usage_chunks[0]["usage"]["total_tokens"] > 0
        assert all(chunk["usage"] is None for chunk in chunks[:-1])
    else:
        assert not usage_chunks
        assert not any("usage" in chunk for chunk in chunks)

    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        assert {"id", "object", "created", "model", "service_tier", "system_fingerprint", "choices"} <= chunk.keys()
        for key in ("id", "created", "model", "service_tier", "system_fingerprint"):
            assert chunk[key] == chunks[0][key], f"{key} changes within the stream"

    for index in range(choices):
        mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert all({"index", "delta", "logprobs", "finish_reason"} <= choice.keys() for choice in mine)
        first, *middle, last = mine
        assert first["delta"] == {"role": "assistant", "content": "", "refusal": None}
        assert first["finish_reason"] is None
        for choice in middle:
            assert choice["delta"].keys() == {"content"} and choice["delta"]["content"]
            assert choice["finish_reason"] is None
        assert last["delta"] == {}
        assert last["finish_reason"] in ("stop", "length")
    assert {choice["index"] for chunk in chunks for choice in chunk["choices"]} == set(range(choices))
