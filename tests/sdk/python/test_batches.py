"""Files and batches with the official client: uploaded, created, waited for, read; listed, cancelled, removed."""

import json
import time

import openai
import pytest

from gateway import CHAT, EMBEDDING, SUSPENDED_KEY, say

CHATS = "/v1/chat/completions"


def line(custom_id, body, url=CHATS):
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}) + "\n"


def chat(custom_id, text, **more):
    return line(custom_id, {"model": CHAT, "messages": say(text), **more})


@pytest.fixture
def upload(client):
    """Uploads what it is given, and removes it in the end."""
    files = []

    def upload(*lines, **options):
        content = "".join(lines).encode()
        files.append(client.files.create(file=("requests.jsonl", content), purpose="batch", **options))
        return files[-1]

    yield upload
    for file in files:
        assert client.files.delete(file.id).deleted


def over(client, batch, seconds=30):
    ends = time.monotonic() + seconds
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < ends, batch
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines(client, file_id):
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]


def test_upload_create_poll_content(client, upload):
    file = upload(*(chat(f"line-{number}", f"answer {number}") for number in range(5)))
    assert (file.object, file.purpose, file.filename, file.status) == ("file", "batch", "requests.jsonl", "processed")
    batch = client.batches.create(
        input_file_id=file.id, endpoint=CHATS, completion_window="24h", metadata={"run": "nightly"}
    )
    assert (batch.status, batch.input_file_id, batch.metadata) == ("validating", file.id, {"run": "nightly"})
    batch = over(client, batch)
    assert batch.status == "completed" and batch.error_file_id is None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (5, 5, 0)
    assert batch.model == CHAT and batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    answers = {}
    for answer in lines(client, batch.output_file_id):
        body = openai.types.chat.ChatCompletion.model_validate(answer["response"]["body"])
        answers[answer["custom_id"]] = body.choices[0].message.content
    assert answers == {f"line-{number}": f"answer {number}" for number in range(5)}
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert client.files.delete(batch.output_file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)


def test_other_endpoints(client, upload):
    for url, body in [
        ("/v1/completions", {"model": CHAT, "prompt": "[[say:hi]]"}),
        ("/v1/responses", {"model": CHAT, "input": "[[say:hi]]"}),
        ("/v1/embeddings", {"model": EMBEDDING, "input": "hi"}),
    ]:
        file = upload(line("a", body, url))
        batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
        batch = over(client, batch)
        assert batch.request_counts.completed == 1, batch
        (answer,) = lines(client, batch.output_file_id)
        assert answer["response"]["status_code"] == 200 and answer["error"] is None


def test_partial_failure(client, upload):
    file = upload(chat("good", "hi"), chat("bad", "hi", temperature=9))
    batch = over(client, client.batches.create(input_file_id=file.id, endpoint=CHATS, completion_window="24h"))
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (failed,) = lines(client, batch.error_file_id)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("bad", 400)
    assert failed["response"]["body"]["error"]["param"] == "temperature"


def test_validation(client, upload):
    file = upload(chat("a", "hi"), "{\n", chat("a", "hi"))
    batch = over(client, client.batches.create(input_file_id=file.id, endpoint=CHATS, completion_window="24h"))
    assert batch.status == "failed" and batch.failed_at
    told = [(error.line, error.code) for error in batch.errors.data]
    assert told == [(2, "invalid_json_line"), (3, "duplicate_custom_id")]


def test_cancel(client, upload):
    slow = {"messages": [{"role": "user", "content": "[[tokens=100]][[delay=100ms]]"}]}
    file = upload(*(line(f"line-{number}", {"model": CHAT, **slow}) for number in range(100)))
    batch = client.batches.create(input_file_id=file.id, endpoint=CHATS, completion_window="24h")
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert over(client, batch).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_lists(client, upload):
    files = [upload(chat(str(number), "hi")).id for number in range(3)]
    listed = [file.id for file in client.files.list(purpose="batch", limit=2)]
    assert set(files) <= set(listed) and len(listed) == len(set(listed)), "over several pages"
    batches = [
        client.batches.create(input_file_id=files[0], endpoint=CHATS, completion_window="24h").id for _ in range(3)
    ]
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert set(batches) <= set(listed) and len(listed) == len(set(listed))
    for batch in batches:
        over(client, client.batches.retrieve(batch))


def test_files_end(client, upload):
    file = upload(chat("a", "hi"), expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600


@pytest.mark.anyio
async def test_async(aclient):
    content = chat("a", "hi").encode()
    file = await aclient.files.create(file=("a.jsonl", content), purpose="batch")
    assert (await aclient.files.content(file.id)).content == content
    assert (await aclient.files.delete(file.id)).deleted


def test_errors(client, connect, upload):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.jsonl", b"x"), purpose="assistants")
    assert refused.value.param == "purpose"
    for missing in ("file-1", "file-" + "0" * 32):
        with pytest.raises(openai.NotFoundError) as refused:
            client.files.retrieve(missing)
        assert refused.value.param == "id"
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_" + "0" * 32)
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-1", endpoint=CHATS, completion_window="24h")
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id=upload("x").id, endpoint="/v1/moderations", completion_window="24h")
    assert refused.value.param == "endpoint"
    with pytest.raises(openai.RateLimitError) as refused:
        connect(api_key=SUSPENDED_KEY).files.create(file=("a.jsonl", b"x"), purpose="batch")
    assert refused.value.code == "insufficient_quota"
