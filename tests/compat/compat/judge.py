"""Judges one answer: is it what OpenAI would have sent, by its shape?

What "the same shape" means:

- The recording (or probe) says which class of answer OpenAI gives: its status, whether it streams, how a refusal is worded.
- The contract says what an answer of that class looks like today. So a field that an old recording lacks but every recording
  since 2025-08 has is required, one that only old recordings have is not, and one that no recording of that part has is an extra.
- What the model itself chose is not compared: a text where a call was recorded under `tool_choice: auto`, or `length` for `stop`, is
  judged as what it is, by the parts of the contract for its own kind. What the request determines is compared (promises.py).
- Fields that only some kinds of model send (`logprobs: null`, `audio`) go by the kind of the answering model.
"""

from dataclasses import dataclass
from typing import Any

from . import asked, chat_stream, completions_stream, framing, headers, promises, refusal, responses_stream
from .asked import Asked
from .contract import Contract, Learned, Part
from .divergence import Divergence, merged, short
from .exchange import Answer, Exchange, Expected, Verdict
from .untrusted import indexed, mapping, objects

TOO_LONG = "the prompt does not fit into this model's context"


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    divergences: list[Divergence]
    # Why it is not applicable, or what was refused.
    reason: str = ""
    # All parts found in the answer, for comparing two servers and for learning.
    parts: tuple[Part, ...] = ()
    # The chunks of a stream, for the OpenAPI document and a live comparison.
    chunks: tuple[dict[str, Any], ...] = ()
    courses: tuple[str, ...] = ()


class Judge:
    def __init__(self, contract: Contract, learned: Learned | None = None, model_kind: str | None = None) -> None:
        self.contract = contract
        self.learned = learned
        self.model_kind = model_kind

    def judge(self, exchange: Exchange, answer: Answer) -> Judgement:
        expected = exchange.expected
        refused = answer.status >= 400 and refusal.is_envelope(self.contract, answer)
        if exchange.needs and answer.status == 400 and refused:
            wrong = list(
                headers.compare(self.contract, Expected(400, headers=expected.headers and "refused"), answer, exchange.old)
            )
            what = f"{' and '.join(sorted(exchange.needs))}: {short(answer.json['error']['message'])}"
            return Judgement(Verdict.FAILED if wrong else Verdict.REFUSED, wrong, what)
        if exchange.only_if_refused and answer.status == 200:
            return Judgement(Verdict.NOT_APPLICABLE, [], exchange.only_if_refused)
        if expected.status == 200 and refused and "maximum context length" in answer.json["error"]["message"]:
            return Judgement(Verdict.NOT_APPLICABLE, [], TOO_LONG)
        if answer.status != expected.status:
            return _failed(
                [
                    Divergence(
                        "status", str(expected.status), f"{answer.status} {short(answer.content.decode(errors='replace'), 300)}"
                    )
                ]
            )

        divergences = list(headers.compare(self.contract, expected, answer, exchange.old))
        if expected.refusal is not None:
            divergences += refusal.compare(self.contract, expected.refusal, answer)
            return _judgement(divergences)
        wanted = asked.read(exchange.request, self.model_kind, exchange.old)
        match exchange.request.endpoint:
            case "chat" | "completions" if exchange.request.streams:
                return self._stream(exchange, answer, wanted, divergences)
            case "responses" if exchange.request.streams:
                return self._events(exchange, answer, wanted, divergences)
            case "chat" | "completions" | "embeddings" | "models" | "responses":
                return self._whole(exchange, answer, wanted, divergences)
            case _:
                return _judgement(divergences)

    def _whole(self, exchange: Exchange, answer: Answer, wanted: Asked, divergences: list[Divergence]) -> Judgement:
        request = exchange.request
        part = {
            "chat": "chat.completion",
            "completions": "completions.completion",
            "embeddings": "embeddings.list",
            "responses": "responses.response",
            "models": "models.list" if request.path.rstrip("/").endswith("/models") else "models.model",
        }[request.endpoint]
        examination = self.contract.examine(part, answer.json, "body", wanted.tags, self.learned)
        divergences += examination.divergences
        body = mapping(answer.json)
        if request.endpoint in ("chat", "completions", "embeddings", "responses"):
            divergences += promises.of_model(request.fields.get("model"), body.get("model"), "body.model")
        usage = mapping(body.get("usage")) or None
        if request.endpoint == "chat":
            divergences += promises.of_chat(request, wanted, _chat_choices(body), usage, "body")
        elif request.endpoint == "completions":
            divergences += promises.of_completions(request, wanted, _completion_choices(body), usage, "body")
            for part_found in examination.parts:
                if part_found.kind == "completions.logprobs":
                    divergences += promises.of_logprob_columns(part_found.value, request.fields, part_found.path)
        elif request.endpoint == "responses":
            divergences += promises.of_responses(request, wanted, body, "body")
        elif request.endpoint == "embeddings":
            divergences += promises.of_embeddings(request, wanted, body)
        return _judgement(divergences, tuple(examination.parts))

    def _stream(self, exchange: Exchange, answer: Answer, wanted: Asked, divergences: list[Divergence]) -> Judgement:
        request = exchange.request
        stream = framing.read(answer.content)
        divergences += stream.divergences
        parts: list[Part] = []
        for number, chunk in enumerate(stream.chunks):
            if chunk.get("error"):
                divergences.append(Divergence(f"stream[{number}]", "no error", short(chunk, 300)))
                return _judgement(divergences)
            examination = self.contract.examine(f"{request.endpoint}.chunk", chunk, f"stream[{number}]", wanted.tags, self.learned)
            divergences += examination.divergences
            parts += examination.parts
        if stream.chunks:
            divergences += promises.of_model(request.fields.get("model"), stream.chunks[0].get("model"), "stream[0].model")
        courses: tuple[str, ...] = ()
        if request.endpoint == "chat":
            chat = chat_stream.read(stream.chunks, wanted.tags)
            choices = [promises.Choice(c.index, c.message(), c.finish, c.tokens) for c in chat.choices.values()]
            divergences += chat.divergences
            divergences += promises.of_chat(request, wanted, choices, chat.usage, "stream")
            courses = tuple(" ".join(c.course) for _, c in sorted(chat.choices.items()))
        else:
            texts = completions_stream.read(stream.chunks, wanted.tags)
            choices = [promises.Choice(c.index, {"content": c.text}, c.finish) for c in texts.choices.values()]
            divergences += texts.divergences
            divergences += promises.of_completions(request, wanted, choices, texts.usage, "stream")
        return _judgement(divergences, tuple(parts), tuple(stream.chunks), courses)

    def _events(self, exchange: Exchange, answer: Answer, wanted: Asked, divergences: list[Divergence]) -> Judgement:
        stream = framing.read(answer.content, typed=True)
        divergences += stream.divergences
        parts: list[Part] = []
        for number, event in enumerate(stream.chunks):
            examination = self.contract.examine("responses.event", event, f"stream[{number}]", wanted.tags, self.learned)
            divergences += examination.divergences
            parts += examination.parts
        reading = responses_stream.read(stream.chunks, wanted.tags)
        divergences += reading.divergences
        divergences += promises.of_model(exchange.request.fields.get("model"), reading.response.get("model"), "stream.model")
        divergences += promises.of_responses(exchange.request, wanted, reading.response, "stream")
        return _judgement(divergences, tuple(parts), tuple(stream.chunks), (" ".join(reading.course),))


def _judgement(
    divergences: list[Divergence],
    parts: tuple[Part, ...] = (),
    chunks: tuple[dict[str, Any], ...] = (),
    courses: tuple[str, ...] = (),
) -> Judgement:
    verdict = Verdict.FAILED if divergences else Verdict.PASSED
    return Judgement(verdict, merged(divergences), parts=parts, chunks=chunks, courses=courses)


def _failed(divergences: list[Divergence]) -> Judgement:
    return Judgement(Verdict.FAILED, divergences)


def _chat_choices(body: dict[str, Any]) -> list[promises.Choice]:
    return [
        promises.Choice(
            entry["index"],
            mapping(entry.get("message")),
            _finish(entry),
            objects(mapping(entry.get("logprobs")).get("content")),
        )
        for entry in indexed(body.get("choices"))
    ]


def _completion_choices(body: dict[str, Any]) -> list[promises.Choice]:
    return [
        promises.Choice(entry["index"], {"content": entry.get("text")}, _finish(entry)) for entry in indexed(body.get("choices"))
    ]


def _finish(entry: dict[str, Any]) -> str | None:
    return entry["finish_reason"] if isinstance(entry.get("finish_reason"), str) else None
