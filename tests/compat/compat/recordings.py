"""Recorded exchanges with the real API: read from a folder, and made into exchanges with the server under test.

The folder's own README says what a recording holds. Of a request only the model's name is replaced, and a token limit is added
where it has none, so that a run takes a bounded time.
"""

import datetime
import email.utils
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import asked, framing, headers, refusal
from .contract import Contract, Learned
from .exchange import Answer, Exchange, Expected, Key, Request
from .kinds import model_kind

# Since then OpenAI sends all that it sends today.
TODAY = datetime.date(2025, 8, 1)
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models")
RESPONSES = "/v1/responses"
# OpenAI takes no lower `max_output_tokens`.
LEAST_OUTPUT = 16
UNKNOWN_KEY = "sk-compat-wrong-key-0123456789abcdef0000"


@dataclass(frozen=True)
class Models:
    """The names under which the server under test has its models."""

    chat: str
    # None: the chat model.
    completion: str | None = None
    embedding: str | None = None


@dataclass(frozen=True)
class Limits:
    # For requests without one.
    missing: int = 64
    # For requests with a higher one; None leaves those as they are.
    cap: int | None = None

    def for_missing(self, request: Request) -> int:
        """A call that is demanded has to get as far as its arguments."""
        return max(self.missing, 64) if asked.demands_call(request) else self.missing


@dataclass(frozen=True)
class Recording:
    name: str
    request: Request
    answer: Answer
    date: datetime.date | None
    # Neither original headers nor ids: its headers prove nothing.
    doubtful: bool
    replayable: bool
    source: str

    @property
    def old(self) -> bool:
        return self.date is None or self.date < TODAY

    @property
    def model_kind(self) -> str:
        return model_kind(str(self.request.fields.get("model", "")))

    @property
    def error(self) -> dict[str, Any] | None:
        body = self.answer.json
        return body.get("error") if self.answer.status != 200 and isinstance(body, dict) else None


def load(folder: Path) -> list[Recording]:
    """All recordings of chat, completions, embeddings, models and responses, in the order of their names."""
    found = []
    for path in sorted(folder.glob("[0-9]*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["request"]["path"].startswith(ENDPOINTS) or _is_plain_response(stored["request"]):
            found.append(_recording(stored))
    return found


def _is_plain_response(request: dict[str, Any]) -> bool:
    """A response that a model makes by itself: hosted tools, prompts that OpenAI keeps, and requests without a model are not."""
    body = request.get("body")
    if request["path"] != RESPONSES or not isinstance(body, dict) or not body.get("model") or body.get("prompt"):
        return False
    return all(tool.get("type") == "function" for tool in body.get("tools") or [])


def learn(contract: Contract, recordings: list[Recording]) -> Learned:
    learned = Learned()
    for recording in recordings:
        if recording.answer.status != 200 or recording.doubtful:
            continue
        tags = asked.read(recording.request, recording.model_kind, recording.old).tags
        for part, value in bodies(recording):
            for found in contract.examine(part, value, "", tags).parts:
                learned.add(found, recording.model_kind, recording.old)
    return learned


def bodies(recording: Recording) -> Iterator[tuple[str, Any]]:
    """The body, or each chunk, with the part of the contract that it is."""
    endpoint = recording.request.endpoint
    if recording.answer.media_type == "text/event-stream":
        typed = endpoint == "responses"
        for chunk in framing.read(recording.answer.content, typed).chunks:
            yield "responses.event" if typed else f"{endpoint}.chunk", chunk
    elif recording.request.method == "GET" or endpoint != "models":
        whole = {
            "chat": "chat.completion",
            "completions": "completions.completion",
            "embeddings": "embeddings.list",
            "responses": "responses.response",
        }
        yield whole.get(endpoint, "models.list"), recording.answer.json


def as_recorded(recording: Recording) -> Exchange:
    """The exchange as it was, for tests of the suite itself."""
    return Exchange(recording.name, recording.request, _expected(recording), old=recording.old)


def exchange(recording: Recording, models: Models, limits: Limits) -> Exchange:
    """The exchange to have with the server under test."""
    plan = Exchange(recording.name, recording.request, _expected(recording))
    if not recording.replayable:
        return replace(plan, not_applicable="the request was not recorded whole, or deletes something")
    plan = _with_model(plan, recording, models)
    if recording.request.fields.get("previous_response_id") or recording.request.fields.get("conversation"):
        return replace(plan, not_applicable="goes on from what only the recorded server has")
    plan = replace(plan, request=_limited(plan.request, limits))
    if needs := _needs(recording):
        plan = replace(plan, needs=needs)
    return plan


def _with_model(plan: Exchange, recording: Recording, models: Models) -> Exchange:
    request, error = recording.request, recording.error
    if error and error.get("code") == "model_not_found":
        return plan  # an unknown name is as unknown here
    if recording.answer.status == 401:
        return replace(plan, request=replace(_named(request, models.chat), key=Key.WRONG))
    name = models.chat
    if request.endpoint == "completions":
        name = models.completion or models.chat
    elif request.endpoint == "embeddings" and recording.answer.status != 403:
        if models.embedding is None:
            return replace(plan, not_applicable="no --embedding-model given")
        name = models.embedding
    text = str(error.get("message")) if error else ""
    if "not a chat model" in text:
        if models.completion in (None, models.chat):
            return replace(plan, not_applicable="no model that only completes: --completion-model")
        name = models.completion or models.chat
        plan = replace(plan, only_if_refused="this model chats as well")
    elif "is a chat model" in text:
        name = models.chat
        plan = replace(plan, only_if_refused="this model serves completions as well")
    elif "not allowed to" in text:
        name = models.chat
        plan = replace(plan, only_if_refused="this model serves embeddings as well")
    elif error and str(error.get("code")).startswith("unsupported_"):
        plan = replace(plan, only_if_refused=f"a limit of {request.fields['model']} that this model does not have")
    elif error and error.get("code") == "invalid_image_url":
        plan = replace(plan, only_if_refused="this server could fetch the picture")
    return replace(plan, request=_named(request, name))


def _named(request: Request, model: str) -> Request:
    return replace(request, body={**request.body, "model": model}) if "model" in request.fields else request


def _limited(request: Request, limits: Limits) -> Request:
    if request.endpoint == "responses":
        missing = max(limits.for_missing(request), LEAST_OUTPUT)
        return capped(replace(request, body={"max_output_tokens": missing, **request.fields}), limits)
    if request.endpoint not in ("chat", "completions"):
        return request
    body = dict(request.fields)
    present = [key for key in ("max_tokens", "max_completion_tokens") if isinstance(body.get(key), int)]
    if not present:
        present = ["max_completion_tokens" if request.endpoint == "chat" else "max_tokens"]
        body[present[0]] = limits.for_missing(request)
    return capped(replace(request, body=body), limits)


def capped(request: Request, limits: Limits) -> Request:
    """The request with its limit of tokens lowered, unless it demands a call: that would be cut off."""
    if limits.cap is None or not isinstance(request.body, dict) or asked.demands_call(request):
        return request
    keys = [
        k for k in ("max_tokens", "max_completion_tokens") if isinstance(request.body.get(k), int) and request.body[k] > limits.cap
    ]
    body = {**request.body, **dict.fromkeys(keys, limits.cap)}
    if isinstance(body.get("max_output_tokens"), int):
        body["max_output_tokens"] = min(body["max_output_tokens"], max(limits.cap, LEAST_OUTPUT))
    return replace(request, body=body)


def _needs(recording: Recording) -> frozenset[str]:
    """What only some models can do. OpenAI refuses it for the others."""
    fields = recording.request.fields
    needs = set()
    if "audio" in (fields.get("modalities") or []):
        needs.add("audio")
    if "web_search_options" in fields and recording.answer.status == 200:
        needs.add("web search")
    if recording.request.endpoint == "embeddings" and recording.answer.status == 200 and fields.get("dimensions"):
        needs.add("shorter embeddings")
    if fields.get("truncation") == "auto":
        needs.add("truncation")
    items = fields.get("input") if isinstance(fields.get("input"), list) and recording.request.endpoint == "responses" else []
    plain = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
    parts = {"image_url": "images", "input_audio": "audio", "file": "files", "input_image": "images", "input_file": "files"}
    if any(isinstance(item, dict) and item.get("type", "message") not in plain for item in items):
        needs.add("items that only OpenAI has")
    for message in fields.get("messages") or items:
        content = message.get("content") or message.get("output") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") in parts:
                needs.add(parts[part["type"]])
    return frozenset(needs)


def _expected(recording: Recording) -> Expected:
    error = recording.error
    form = refusal.form_of(error, recording.request.fields.get("model")) if error else None
    status = recording.answer.status
    known = None if recording.doubtful else headers.class_of(recording.request, status, error.get("code") if error else None)
    return Expected(status, form, known, recording.answer)


def _recording(stored: dict[str, Any]) -> Recording:
    request, response = stored["request"], stored["response"]
    if "sse_events" in response:
        content = "".join(f"{event}\n\n" for event in response["sse_events"]).encode()
    else:
        content = json.dumps(response.get("body"), ensure_ascii=False).encode()
    found = {name.lower(): value for name, value in (response.get("headers") or {}).items()}
    found.setdefault("content-type", "text/event-stream" if "sse_events" in response else "application/json")
    return Recording(
        name=stored["id"],
        request=Request(request["method"], request["path"], request.get("body")),
        answer=Answer(response["status"], found, content),
        date=_date(stored),
        doubtful=stored["authenticity"] != "headers",
        replayable=stored["replayable"],
        source=stored["source"].split(":")[0],
    )


def _date(stored: dict[str, Any]) -> datetime.date | None:
    """The day of the recording: from its Date header, or from the answer's own time."""
    if recorded := stored.get("recorded"):
        return email.utils.parsedate_to_datetime(recorded).date()
    response = stored["response"]
    first = response.get("body")
    if "sse_events" in response:
        first = json.loads(response["sse_events"][0].rpartition("data: ")[2])
        first = first.get("response", first)
    created = first.get("created", first.get("created_at")) if isinstance(first, dict) else None
    return datetime.datetime.fromtimestamp(created, datetime.UTC).date() if created else None
