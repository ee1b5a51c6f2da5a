"""Ways in which a server departs from OpenAI, each put into a recorded answer. Every one of them must be caught.

Most are real: extra keys and nulls of vLLM and llama.cpp, usage merged into the last chunk, text beside the finish reason, codes
that are numbers, and what the reports behind the checklist's entries tell.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from compat.exchange import Answer

Body = dict[str, Any]
Chunks = list[dict[str, Any]]

TEXT, CALL, CALLS, NAMED = "131-chat-toolresult", "118-chat-tool", "073-chat-ptools", "109-chat-tool"
FUNCTION, LOGPROBS, SEVERAL, SCHEMA = "033-chat-function", "061-chat-logprobs", "065-chat-n", "044-chat-jsonschema"
STREAM, USAGE, STREAM_N = "140-chat-stream", "179-chat-stream-usage", "183-chat-stream-usage-n"
STREAM_CALL, STREAM_CALLS, STREAM_LOGPROBS = "168-chat-stream-tool", "156-chat-stream-ptools", "149-chat-stream-logprobs"
COMPLETION, COMPLETIONS, TEXTS = "239-completions-length", "246-completions-n-batch", "250-completions-stream"
TEXTS_USAGE = "260-completions-stream-usage-length"
FLOAT, BASE64, BATCH = "289-embeddings-float", "271-embeddings-b64", "290-embeddings-float-batch"
RESPONSE, RESPONSE_CALL, RESPONSE_CUT = "334-responses", "341-responses-fcall", "348-responses-incomplete"
RESPONSE_STREAM, RESPONSE_STREAM_CALL = "396-responses-stream", "400-responses-stream-fcall"
RESPONSE_UNKNOWN = "427-responses-400-model_not_found"
MODELS, WRONG_KEY, UNKNOWN, INVALID = (
    "302-models-list",
    "220-chat-401-invalid_api_key",
    "226-chat-404-model_not_found",
    "262-completions-400-integer_below_min_value",
)


@dataclass(frozen=True)
class Mutation:
    name: str
    recording: str
    apply: Callable[[Answer], Answer]


def body(name: str, recording: str, change: Callable[[Body], object]) -> Mutation:
    def apply(answer: Answer) -> Answer:
        value = copy.deepcopy(answer.json)
        change(value)
        return replace(answer, content=json.dumps(value).encode())

    return Mutation(name, recording, apply)


def chunks(name: str, recording: str, change: Callable[[Chunks], Chunks | None]) -> Mutation:
    def apply(answer: Answer) -> Answer:
        events = [event.removeprefix("data: ") for event in answer.content.decode().split("\n\n") if event]
        values = [json.loads(event) for event in events if event != "[DONE]"]
        values = change(values) or values
        return replace(answer, content="".join(f"data: {json.dumps(v)}\n\n" for v in values).encode() + b"data: [DONE]\n\n")

    return Mutation(name, recording, apply)


def events(name: str, recording: str, change: Callable[[Chunks], Chunks | None]) -> Mutation:
    """The same of a stream of responses, whose events have a type."""

    def apply(answer: Answer) -> Answer:
        values = [json.loads(event.rpartition("data: ")[2]) for event in answer.content.decode().split("\n\n") if event]
        values = change(values) or values
        return replace(answer, content="".join(f"event: {v.get('type')}\ndata: {json.dumps(v)}\n\n" for v in values).encode())

    return Mutation(name, recording, apply)


def of_type(values: Chunks, kind: str) -> dict[str, Any]:
    return next(value for value in values if value["type"] == f"response.{kind}")


def raw(name: str, recording: str, change: Callable[[bytes], bytes]) -> Mutation:
    return Mutation(name, recording, lambda answer: replace(answer, content=change(answer.content)))


def header(name: str, recording: str, header_name: str, value: str | None) -> Mutation:
    def apply(answer: Answer) -> Answer:
        headers = {key: old for key, old in answer.headers.items() if key != header_name}
        return replace(answer, headers={**headers, header_name: value} if value is not None else headers)

    return Mutation(name, recording, apply)


def status(name: str, recording: str, value: int) -> Mutation:
    return Mutation(name, recording, lambda answer: replace(answer, status=value))


def choice(value: Body | dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = value["choices"][0]
    return found


def last_of_choice(values: Chunks) -> dict[str, Any]:
    return next(choice(value) for value in values if value["choices"] and choice(value)["finish_reason"])


def merge_usage(values: Chunks) -> Chunks:
    values[-2]["usage"] = values[-1]["usage"]
    return values[:-1]


def text_in_finish(values: Chunks) -> Chunks:
    position = max(i for i, v in enumerate(values) if v["choices"] and not choice(v)["finish_reason"])
    last_of_choice(values)["delta"] = choice(values[position])["delta"]
    return values[:position] + values[position + 1 :]


def each(change: Callable[[dict[str, Any]], object]) -> Callable[[Chunks], None]:
    def apply(values: Chunks) -> None:
        for value in values:
            change(value)

    return apply


MUTATIONS = [
    # Whole chat answers.
    body("key removed: refusal", TEXT, lambda b: choice(b)["message"].pop("refusal")),
    body("key removed: annotations", TEXT, lambda b: choice(b)["message"].pop("annotations")),
    body("key removed: service_tier", TEXT, lambda b: b.pop("service_tier")),
    body("key removed: system_fingerprint", TEXT, lambda b: b.pop("system_fingerprint")),
    body("key removed: logprobs", TEXT, lambda b: choice(b).pop("logprobs")),
    body("key removed: usage", TEXT, lambda b: b.pop("usage")),
    body("key removed: usage details", TEXT, lambda b: b["usage"].pop("completion_tokens_details")),
    body("key removed: a zero of the details", TEXT, lambda b: b["usage"]["completion_tokens_details"].pop("audio_tokens")),
    body("extra key: prompt_logprobs", TEXT, lambda b: b.update(prompt_logprobs=None)),
    body("extra key: kv_transfer_params", TEXT, lambda b: b.update(kv_transfer_params=None)),
    body("extra key: timings", TEXT, lambda b: b.update(timings={"prompt_n": 1})),
    body("extra key: stop_reason", TEXT, lambda b: choice(b).update(stop_reason=None)),
    body("extra key: reasoning_content", TEXT, lambda b: choice(b)["message"].update(reasoning_content=None)),
    body("extra null: tool_calls", TEXT, lambda b: choice(b)["message"].update(tool_calls=None)),
    body("extra null: function_call", TEXT, lambda b: choice(b)["message"].update(function_call=None)),
    body("extra array: tool_calls []", TEXT, lambda b: choice(b)["message"].update(tool_calls=[])),
    body("null instead of array: annotations", TEXT, lambda b: choice(b)["message"].update(annotations=None)),
    body("null instead of array: choices", TEXT, lambda b: b.update(choices=None)),
    body("null instead of object: usage", TEXT, lambda b: b.update(usage=None)),
    body("null details", TEXT, lambda b: b["usage"].update(prompt_tokens_details=None)),
    body("empty refusal", TEXT, lambda b: choice(b)["message"].update(refusal="")),
    body("id of a UUID", TEXT, lambda b: b.update(id="chatcmpl-0b2bd75c-73b8-4f04-9d9f-8f4d4ef2f9f5")),
    body("id of the wrong length", TEXT, lambda b: b.update(id=b["id"] + "x")),
    body("object of a chunk", TEXT, lambda b: b.update(object="chat.completion.chunk")),
    body("created with a fraction", TEXT, lambda b: b.update(created=b["created"] + 0.5)),
    body("created as text", TEXT, lambda b: b.update(created=str(b["created"]))),
    body("model is a path", TEXT, lambda b: b.update(model="/models/weights.gguf")),
    body("service tier unheard of", TEXT, lambda b: b.update(service_tier="")),
    body("fingerprint of another form", TEXT, lambda b: b.update(system_fingerprint="b6123-1a2b3c4d")),
    body("role of the user", TEXT, lambda b: choice(b)["message"].update(role="user")),
    body("finish reason unheard of", TEXT, lambda b: choice(b).update(finish_reason="eos_token")),
    body("finish reason null", TEXT, lambda b: choice(b).update(finish_reason=None)),
    body("tool_calls as the reason of a text", TEXT, lambda b: choice(b).update(finish_reason="tool_calls")),
    body("total is no sum", TEXT, lambda b: b["usage"].update(total_tokens=1)),
    body("usage as text", TEXT, lambda b: b["usage"].update(prompt_tokens="12")),
    body("more cached than read", TEXT, lambda b: b["usage"]["prompt_tokens_details"].update(cached_tokens=10**6)),
    body("an envelope around it", TEXT, lambda b: b.update(data=b.pop("choices"))),
    body("one choice short", SEVERAL, lambda b: b["choices"].pop()),
    body("choices out of order", SEVERAL, lambda b: b["choices"].reverse()),
    body("index twice", SEVERAL, lambda b: b["choices"][-1].update(index=0)),
    body("not JSON under a schema", SCHEMA, lambda b: choice(b)["message"].update(content="Sure! Here it is")),
    raw("not JSON at all", TEXT, lambda content: b"<html></html>"),
    # Calls.
    body("arguments as an object", CALL, lambda b: choice(b)["message"]["tool_calls"][0]["function"].update(arguments={})),
    body("arguments cut off", CALL, lambda b: choice(b)["message"]["tool_calls"][0]["function"].update(arguments='{"a')),
    body("call without type", CALL, lambda b: choice(b)["message"]["tool_calls"][0].pop("type")),
    body("call id of vLLM", CALL, lambda b: choice(b)["message"]["tool_calls"][0].update(id="chatcmpl-tool-0123456789abcdef")),
    body("call with an index", CALL, lambda b: choice(b)["message"]["tool_calls"][0].update(index=0)),
    body("call of an unknown function", CALL, lambda b: choice(b)["message"]["tool_calls"][0]["function"].update(name="rm")),
    body("stop as the reason of a call", CALL, lambda b: choice(b).update(finish_reason="stop")),
    body(
        "ids twice", CALLS, lambda b: choice(b)["message"]["tool_calls"][1].update(id=choice(b)["message"]["tool_calls"][0]["id"])
    ),
    body("tool_calls as the reason of a named call", NAMED, lambda b: choice(b).update(finish_reason="tool_calls")),
    body("text where a function was named", NAMED, lambda b: choice(b)["message"].pop("tool_calls")),
    body(
        "function call in the new form",
        FUNCTION,
        lambda b: choice(b)["message"].update(
            tool_calls=[{"id": "call_" + "a" * 24, "type": "function", "function": choice(b)["message"].pop("function_call")}]
        ),
    ),
    # Log probabilities.
    body("logprobs null though asked", LOGPROBS, lambda b: choice(b).update(logprobs=None)),
    body("logprobs without refusal", LOGPROBS, lambda b: choice(b)["logprobs"].pop("refusal")),
    body("tokens without bytes", LOGPROBS, lambda b: choice(b)["logprobs"]["content"][0].pop("bytes")),
    body("bytes as text", LOGPROBS, lambda b: choice(b)["logprobs"]["content"][0].update(bytes="Why")),
    body("top_logprobs null", LOGPROBS, lambda b: choice(b)["logprobs"]["content"][0].update(top_logprobs=None)),
    body(
        "top_logprobs not asked for",
        LOGPROBS,
        lambda b: choice(b)["logprobs"]["content"][0].update(top_logprobs=[{"token": "a", "logprob": -1.0, "bytes": [97]}]),
    ),
    body(
        "logprobs in the form of completions", LOGPROBS, lambda b: choice(b).update(logprobs={"tokens": [], "token_logprobs": []})
    ),
    # Chat streams: grammar.
    chunks("missing role", STREAM, lambda v: v[1:]),
    chunks("role twice", STREAM, lambda v: choice(v[1])["delta"].update(role="assistant")),
    chunks("role chunk twice", STREAM, lambda v: [v[0], *v]),
    chunks("role chunk without content", STREAM, lambda v: choice(v[0])["delta"].pop("content") and None),
    chunks("role chunk without refusal", STREAM, lambda v: choice(v[0])["delta"].pop("refusal")),
    chunks("text in the role chunk", STREAM, lambda v: choice(v[0])["delta"].update(content="Hi")),
    chunks("text in the finish chunk", STREAM, text_in_finish),
    chunks("empty content in the finish chunk", STREAM, lambda v: last_of_choice(v)["delta"].update(content="")),
    chunks("empty delta in the middle", STREAM, lambda v: choice(v[1]).update(delta={})),
    chunks("null content in the middle", STREAM, lambda v: choice(v[1]).update(delta={"content": None})),
    chunks("no finish chunk", STREAM, lambda v: v[:-1]),
    chunks("finish chunk twice", STREAM, lambda v: [*v, v[-1]]),
    chunks("finish reason in the middle", STREAM, lambda v: choice(v[1]).update(finish_reason="stop")),
    chunks(
        "finish reason absent before the end", STREAM, each(lambda v: choice(v)["finish_reason"] or choice(v).pop("finish_reason"))
    ),
    chunks("finish reason empty before the end", STREAM, lambda v: choice(v[1]).update(finish_reason="")),
    chunks("logprobs absent", STREAM, each(lambda v: choice(v).pop("logprobs"))),
    chunks("vendor nulls in a delta", STREAM, lambda v: choice(v[1])["delta"].update(tool_calls=None, function_call=None)),
    chunks("token ids in a choice", STREAM, each(lambda v: choice(v).update(token_ids=None))),
    chunks("choices null", STREAM, lambda v: v[1].update(choices=None)),
    chunks("object of a whole answer", STREAM, each(lambda v: v.update(object="chat.completion"))),
    chunks("created moving", STREAM, lambda v: v[-1].update(created=v[-1]["created"] + 1)),
    chunks("id changing", STREAM, lambda v: v[-1].update(id="chatcmpl-" + "a" * 29)),
    chunks("model changing", STREAM, lambda v: v[-1].update(model="gpt-3.5-turbo")),
    chunks("service tier missing", STREAM, each(lambda v: v.pop("service_tier"))),
    chunks("padding on some chunks", STREAM, lambda v: v[1].pop("obfuscation")),
    chunks(
        "an error in the stream",
        STREAM,
        lambda v: [v[0], {"error": {"message": "x", "type": "server_error", "param": None, "code": None}}],
    ),
    # Usage.
    chunks(
        "usage not asked for", STREAM, lambda v: v[-1].update(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
    ),
    chunks("usage null not asked for", STREAM, each(lambda v: v.update(usage=None))),
    chunks("usage merged into the finish chunk", USAGE, merge_usage),
    chunks("usage missing", USAGE, lambda v: v[:-1]),
    chunks("usage twice", USAGE, lambda v: [*v, v[-1]]),
    chunks("usage before the finish chunk", USAGE, lambda v: [*v[:-2], v[-1], v[-2]]),
    chunks("usage absent instead of null", USAGE, lambda v: v[1].pop("usage") and None),
    chunks("usage on every chunk", USAGE, lambda v: v[1].update(usage=v[-1]["usage"])),
    chunks("usage without choices", USAGE, lambda v: v[-1].pop("choices") and None),
    chunks(
        "usage with a choice",
        USAGE,
        lambda v: v[-1].update(choices=[{"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}]),
    ),
    # Several choices.
    chunks("two choices in one chunk", STREAM_N, lambda v: v[0].update(choices=[*v[0]["choices"], *v[2]["choices"]])),
    chunks("a choice never finishes", STREAM_N, lambda v: [*v[:-2], v[-1]]),
    chunks("a finish chunk before other text", STREAM_N, lambda v: [*v[:-4], v[-2], v[-4], v[-3], v[-1]]),
    chunks("index wrong", STREAM_N, each(lambda v: v["choices"] and choice(v).update(index=choice(v)["index"] + 1))),
    # Streamed calls.
    chunks("call without index", STREAM_CALL, lambda v: choice(v[1])["delta"]["tool_calls"][0].pop("index") and None),
    chunks("index never", STREAM_CALL, each(lambda v: [c.pop("index") for c in choice(v)["delta"].get("tool_calls", [])] and None)),
    chunks(
        "id and name repeated",
        STREAM_CALL,
        lambda v: choice(v[1])["delta"]["tool_calls"][0].update(id=choice(v[0])["delta"]["tool_calls"][0]["id"], type="function"),
    ),
    chunks(
        "role and call in two chunks",
        STREAM_CALL,
        lambda v: [
            {**v[0], "choices": [{**choice(v[0]), "delta": {"role": "assistant", "content": None}}]},
            {**v[0], "choices": [{**choice(v[0]), "delta": {"tool_calls": choice(v[0])["delta"]["tool_calls"]}}]},
            *v[1:],
        ],
    ),
    chunks(
        "all arguments in the opening",
        STREAM_CALL,
        lambda v: choice(v[0])["delta"]["tool_calls"][0]["function"].update(arguments="{}"),
    ),
    chunks("arguments lost", STREAM_CALL, lambda v: [*v[:-2], v[-1]]),
    chunks(
        "name null in later chunks", STREAM_CALL, lambda v: choice(v[1])["delta"]["tool_calls"][0]["function"].update(name=None)
    ),
    chunks("content beside a call", STREAM_CALL, lambda v: choice(v[1])["delta"].update(content=None)),
    chunks(
        "two calls in one chunk",
        STREAM_CALLS,
        lambda v: next(choice(x) for x in v[2:] if choice(x)["delta"].get("tool_calls"))["delta"]["tool_calls"].append(
            choice(v[1])["delta"]["tool_calls"][0]
        ),
    ),
    chunks(
        "both calls with one index",
        STREAM_CALLS,
        each(lambda v: [c.update(index=0) for c in choice(v)["delta"].get("tool_calls", [])] and None),
    ),
    chunks("chunk of text without its tokens", STREAM_LOGPROBS, lambda v: choice(v[1]).update(logprobs=None)),
    # Framing.
    raw("missing blank line at the end", STREAM, lambda c: c[:-1]),
    raw("missing blank line between events", STREAM, lambda c: c.replace(b"\n\n", b"\n", 1)),
    raw("missing [DONE]", STREAM, lambda c: c.replace(b"data: [DONE]\n\n", b"")),
    raw("[DONE] twice", STREAM, lambda c: c + b"data: [DONE]\n\n"),
    raw("something after [DONE]", STREAM, lambda c: c + c[: c.index(b"\n\n") + 2]),
    raw("CRLF", STREAM, lambda c: c.replace(b"\n", b"\r\n")),
    raw("no space after data:", STREAM, lambda c: c.replace(b"data: ", b"data:")),
    raw("event lines", STREAM, lambda c: b"event: message\n" + c),
    raw("id lines", STREAM, lambda c: b"id: 1\n" + c),
    raw("retry line", STREAM, lambda c: b"retry: 1000\n\n" + c),
    raw("empty data as a keep-alive", STREAM, lambda c: b"data:\n\n" + c),
    raw("a comment as data", STREAM, lambda c: b"data: : keep-alive\n\n" + c),
    raw("a comment inside an event", STREAM, lambda c: c.replace(b"\n\n", b"\n: keep-alive\n\n", 1)),
    raw("not UTF-8", STREAM, lambda c: c.replace(b"gpt", b"\xff\xfegpt", 1)),
    raw("three line ends", STREAM, lambda c: c.replace(b"\n\n", b"\n\n\n", 1)),
    # Completions.
    body("fingerprint on a completion", COMPLETION, lambda b: b.update(system_fingerprint=None)),
    body("details on a completion", COMPLETION, lambda b: b["usage"].update(prompt_tokens_details=None)),
    body("completion with stop_reason", COMPLETION, lambda b: choice(b).update(stop_reason=None)),
    body("completion without logprobs", COMPLETION, lambda b: choice(b).pop("logprobs")),
    body("completion with the id of a chat", COMPLETION, lambda b: b.update(id="chat" + b["id"])),
    body("completion with a message", COMPLETION, lambda b: choice(b).update(message={"role": "assistant"})),
    body("completions short of one prompt", COMPLETIONS, lambda b: b["choices"].pop()),
    body("all indexes 0", COMPLETIONS, lambda b: [c.update(index=0) for c in b["choices"]] and None),
    body(
        "more tokens than the limit",
        COMPLETION,
        lambda b: b["usage"].update(completion_tokens=9999, total_tokens=9999 + b["usage"]["prompt_tokens"]),
    ),
    chunks("text beside stop", TEXTS, lambda v: choice(v[-1]).update(text="x")),
    chunks("an empty text in the middle", TEXTS, lambda v: choice(v[1]).update(text="")),
    chunks("completion never finishes", TEXTS, lambda v: v[:-1]),
    chunks("completion chunk with a delta", TEXTS, lambda v: choice(v[1]).update(delta={})),
    chunks("completion chunk of another object", TEXTS, each(lambda v: v.update(object="text_completion.chunk"))),
    chunks("usage of a completion merged", TEXTS_USAGE, merge_usage),
    # Embeddings.
    body("embedding as text though floats were asked for", FLOAT, lambda b: b["data"][0].update(embedding="AAAA")),
    body("embedding as floats though base64 was asked for", BASE64, lambda b: b["data"][0].update(embedding=[0.6, 0.8])),
    body("base64 of big-endian numbers", BASE64, lambda b: b["data"][0].update(embedding="P4AAAAAAAAA=")),
    body("vector not of length 1", FLOAT, lambda b: b["data"][0].update(embedding=[2.0 * x for x in b["data"][0]["embedding"]])),
    body("embeddings out of order", BATCH, lambda b: b["data"].reverse()),
    body("an embedding short", BATCH, lambda b: b["data"].pop()),
    body("embeddings with an id", FLOAT, lambda b: b.update(id="embd-1", created=1)),
    body("usage with completion tokens", FLOAT, lambda b: b["usage"].update(completion_tokens=0)),
    body("total is not the prompt", FLOAT, lambda b: b["usage"].update(total_tokens=b["usage"]["prompt_tokens"] + 1)),
    body("embedding without its object", FLOAT, lambda b: b["data"][0].pop("object")),
    # Models.
    body("models of vLLM", MODELS, lambda b: b["data"][0].update(root="x", parent=None, max_model_len=1, permission=[])),
    body("models of llama.cpp", MODELS, lambda b: b.update(models=[])),
    body("model without created", MODELS, lambda b: b["data"][0].pop("created")),
    header("limits on models", MODELS, "x-ratelimit-limit-requests", "1"),
    # Refusals.
    body("code as a number", UNKNOWN, lambda b: b["error"].update(code=404)),
    body("code missing", UNKNOWN, lambda b: b["error"].pop("code")),
    body("param missing", UNKNOWN, lambda b: b["error"].pop("param") or True),
    body("param of another endpoint", UNKNOWN, lambda b: b["error"].update(param="model")),
    body("type of vLLM", UNKNOWN, lambda b: b["error"].update(type="NotFoundError")),
    body("another message", UNKNOWN, lambda b: b["error"].update(message="model not found")),
    body("another quote", UNKNOWN, lambda b: b["error"].update(message=b["error"]["message"].replace("`", "'"))),
    body("error without envelope", UNKNOWN, lambda b: b.update(b.pop("error"))),
    body("envelope in an envelope", UNKNOWN, lambda b: b.update(error={"error": b["error"]})),
    body("extra key in the envelope", UNKNOWN, lambda b: b.update(object="error")),
    body("extra key in the error", UNKNOWN, lambda b: b["error"].update(status=404)),
    body("another number in the message", INVALID, lambda b: b["error"].update(message=b["error"]["message"].replace("-1", "-2"))),
    body("another code", INVALID, lambda b: b["error"].update(code="invalid_value")),
    status("another status of refusal", UNKNOWN, 400),
    status("200 for a refusal", WRONG_KEY, 200),
    status("500 for an answer", TEXT, 500),
    # Headers.
    header("request id missing", TEXT, "x-request-id", None),
    header("request id of another form", TEXT, "x-request-id", "0b2bd75c-73b8-4f04-9d9f-8f4d4ef2f9f5"),
    header("version missing", TEXT, "openai-version", None),
    header("processing time with a fraction", TEXT, "openai-processing-ms", "12.5"),
    header("organization missing", TEXT, "openai-organization", None),
    header("limits missing", TEXT, "x-ratelimit-remaining-tokens", None),
    header("reset in seconds", TEXT, "x-ratelimit-reset-requests", "60"),
    header("limit no integer", TEXT, "x-ratelimit-limit-tokens", "unlimited"),
    header("limit unheard of", TEXT, "x-ratelimit-limit-gpus", "1"),
    header("charset where there is none", TEXT, "content-type", "application/json; charset=utf-8"),
    header("charset missing on a stream", STREAM, "content-type", "text/event-stream"),
    header("charset on a stream of completions", TEXTS, "content-type", "text/event-stream; charset=utf-8"),
    header("stream as JSON", STREAM, "content-type", "application/json"),
    header("limits missing on a stream", STREAM, "x-ratelimit-reset-tokens", None),
    header("openai-model missing on a completion", COMPLETION, "openai-model", None),
    header("charset missing at the edge", WRONG_KEY, "content-type", "application/json"),
    header("limits at the edge", WRONG_KEY, "x-ratelimit-limit-requests", "1"),
    header("version at the edge", UNKNOWN, "openai-version", "2020-10-01"),
    header("text for a refusal", UNKNOWN, "content-type", "text/plain"),
    # Responses.
    body("a response without its object", RESPONSE, lambda b: b.pop("object")),
    body("a response's id of another form", RESPONSE, lambda b: b.update(id="resp-1")),
    body("a response that is no response", RESPONSE, lambda b: b.update(object="chat.completion")),
    body("a response without usage", RESPONSE, lambda b: b.update(usage=None)),
    body("a response with the usage of chats", RESPONSE, lambda b: b.update(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})),
    body("a response whose sum is wrong", RESPONSE, lambda b: b["usage"].update(total_tokens=1)),
    body("a response with choices", RESPONSE, lambda b: b.update(choices=[])),
    body("a response with output_text", RESPONSE, lambda b: b.update(output_text="x")),
    body("a response without metadata", RESPONSE, lambda b: b.update(metadata=None)),
    body("a response without its reasoning", RESPONSE, lambda b: b.pop("reasoning")),
    body("a response that is not over", RESPONSE, lambda b: b.update(status="in_progress")),
    body("a response in the past's words", RESPONSE, lambda b: b.update(created=b.pop("created_at"))),
    body("a part without annotations", RESPONSE, lambda b: b["output"][0]["content"][0].pop("annotations")),
    body("a part of plain text", RESPONSE, lambda b: b["output"][0]["content"][0].update(type="text")),
    body("content that is a text", RESPONSE, lambda b: b["output"][0].update(content="hi")),
    body("an item's id of a response", RESPONSE, lambda b: b["output"][0].update(id=b["id"])),
    body("an item of a user", RESPONSE, lambda b: b["output"][0].update(role="user")),
    body("an item of an unknown type", RESPONSE, lambda b: b["output"][0].update(type="text")),
    body("an item without status", RESPONSE, lambda b: b["output"][0].pop("status")),
    body("another model's response", RESPONSE, lambda b: b.update(model="/models/llama.gguf")),
    body("a call whose id is its item's", RESPONSE_CALL, lambda b: b["output"][0].update(call_id=b["output"][0]["id"])),
    body("a call with an object of arguments", RESPONSE_CALL, lambda b: b["output"][0].update(arguments={})),
    body("a call of no function", RESPONSE_CALL, lambda b: b["output"][0].update(name="nothing")),
    body("a call as chats have it", RESPONSE_CALL, lambda b: b["output"][0].update(function={"name": "x", "arguments": "{}"})),
    body("tools that are not repeated", RESPONSE_CALL, lambda b: b.update(tools=[])),
    body("a cut response that is complete", RESPONSE_CUT, lambda b: b.update(status="completed")),
    body("a cut response without a reason", RESPONSE_CUT, lambda b: b.update(incomplete_details=None)),
    body("a limit that is not repeated", RESPONSE_CUT, lambda b: b.update(max_output_tokens=None)),
    status("an unknown model's response as a 404", RESPONSE_UNKNOWN, 404),
    body("an unknown model's response without its parameter", RESPONSE_UNKNOWN, lambda b: b["error"].update(param=None)),
    header("a stream of responses that is JSON", RESPONSE_STREAM, "content-type", "application/json"),
    raw("[DONE] behind a response", RESPONSE_STREAM, lambda c: c + b"data: [DONE]\n\n"),
    raw("events without types", RESPONSE_STREAM, lambda c: b"".join(line for line in c.splitlines(True) if not line.startswith(b"event:"))),
    raw("events of other types", RESPONSE_STREAM, lambda c: c.replace(b"event: response.created", b"event: message")),
    events("no response.created", RESPONSE_STREAM, lambda v: v[1:]),
    events("no response.in_progress", RESPONSE_STREAM, lambda v: v[:1] + v[2:]),
    events("no end of the response", RESPONSE_STREAM, lambda v: v[:-1]),
    events("two ends of the response", RESPONSE_STREAM, lambda v: [*v, v[-1]]),
    events("no end of the item", RESPONSE_STREAM, lambda v: [e for e in v if e["type"] != "response.output_item.done"]),
    events("no beginning of the item", RESPONSE_STREAM, lambda v: [e for e in v if e["type"] != "response.output_item.added"]),
    events("numbers that stand still", RESPONSE_STREAM, lambda v: [e | {"sequence_number": 0} for e in v]),
    events("events without numbers", RESPONSE_STREAM, lambda v: [e.pop("sequence_number") for e in v] and None),
    events("a text that is not its deltas", RESPONSE_STREAM, lambda v: of_type(v, "output_text.done").update(text="x")),
    events("a part that is not its deltas", RESPONSE_STREAM, lambda v: of_type(v, "content_part.done")["part"].update(text="x")),
    events("an item that is not as it was done", RESPONSE_STREAM, lambda v: of_type(v, "completed")["response"]["output"].clear()),
    events("deltas of another item", RESPONSE_STREAM, lambda v: of_type(v, "output_text.delta").update(item_id="msg_" + "0" * 48)),
    events("deltas of another place", RESPONSE_STREAM, lambda v: of_type(v, "output_text.delta").update(output_index=1)),
    events("deltas without logprobs", RESPONSE_STREAM, lambda v: of_type(v, "output_text.delta").pop("logprobs")),
    events("an item that is added whole", RESPONSE_STREAM, lambda v: of_type(v, "output_item.added").update(item=of_type(v, "output_item.done")["item"])),
    events("a response that changes its id", RESPONSE_STREAM, lambda v: v[-1]["response"].update(id="resp_" + "0" * 50)),
    events("a response whose items are told at once", RESPONSE_STREAM, lambda v: v[0]["response"].update(output=v[-1]["response"]["output"])),
    events("a response without usage at the end", RESPONSE_STREAM, lambda v: v[-1]["response"].update(usage=None)),
    events("arguments that are not their deltas", RESPONSE_STREAM_CALL, lambda v: of_type(v, "function_call_arguments.done").update(arguments="{}")),
    events("a call that ends without its arguments", RESPONSE_STREAM_CALL, lambda v: of_type(v, "output_item.done")["item"].update(arguments="")),
]
