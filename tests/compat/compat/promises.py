"""What the request alone determines about its answer: how many, in which order, of which kind, and sums that must hold.

The contract knows the shape of every part; this knows that `n: 3` makes three choices, that a named function is called, that
`top_logprobs: 2` gives two entries, that vectors have unit length. All of it holds in every recording (tests/test_contract.py).
"""

import base64
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from .asked import Asked, prompts
from .divergence import Divergence, short
from .exchange import Request
from .kinds import message_kind
from .untrusted import listing, mapping, objects

UNIT_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Choice:
    """A choice of chat or completions, streamed or not."""

    index: int
    message: dict[str, Any]
    finish: str | None
    # The entries of its log probabilities, None where it has none.
    tokens: list[dict[str, Any]] | None = None


def of_chat(
    request: Request, asked: Asked, choices: list[Choice], usage: dict[str, Any] | None, where: str
) -> Iterator[Divergence]:
    fields = request.fields
    yield from _indexes([choice.index for choice in choices], asked.count, where)
    for choice in choices:
        path = f"{where}.choices[{choice.index}]"
        kind = message_kind(choice.message)
        # A limit may cut a call off before its function is known, unless the request named it.
        cut_off = choice.finish == "length" and not asked.named
        if asked.must_call and kind != asked.must_call and not cut_off:
            yield Divergence(f"{path}.message", f"({asked.must_call}), which the request demands", f"({kind})")
        if kind in ("tool_calls", "function_call") and not asked.may_call:
            yield Divergence(f"{path}.message", "(text), as no tool may be called", f"({kind})")
        yield from _finish(choice, kind, asked, path)
        yield from _calls(choice, fields, path)
        yield from _stops(choice.message.get("content"), fields, path)
        yield from _structured(choice, kind, fields, path)
        if "logprobs" in asked.tags and "plain" in asked.tags and kind == "text" and choice.message.get("content"):
            yield from _top_logprobs(choice, fields, path)
    yield from _usage(usage, request, asked, where)


def of_completions(
    request: Request, asked: Asked, choices: list[Choice], usage: dict[str, Any] | None, where: str
) -> Iterator[Divergence]:
    fields = request.fields
    yield from _indexes([choice.index for choice in choices], asked.count, where)
    wanted = prompts(fields.get("prompt", ""))
    per_prompt = fields.get("n") or 1
    for choice in choices:
        path = f"{where}.choices[{choice.index}]"
        text = choice.message.get("content")
        prompt = wanted[choice.index // per_prompt] if choice.index // per_prompt < len(wanted) else None
        if fields.get("echo") and isinstance(prompt, str) and isinstance(text, str):
            if not text.startswith(prompt):
                yield Divergence(f"{path}.text", f"begins with {short(prompt)}, which echo asks for", short(text))
        else:
            yield from _stops(text, fields, path)
    yield from _usage(usage, request, asked, where)


def of_logprob_columns(columns: dict[str, Any], fields: dict[str, Any], path: str) -> Iterator[Divergence]:
    """The four columns of a completion's log probabilities are of one length; `top_logprobs` has at most k + 1 entries."""
    lengths = {key: len(column) for key, column in columns.items() if isinstance(column, list)}
    if len(set(lengths.values())) > 1:
        yield Divergence(path, "columns of one length", short(lengths))
    for row in objects(columns.get("top_logprobs")):
        if len(row) > (fields.get("logprobs") or 0) + 1:
            yield Divergence(f"{path}.top_logprobs", f"at most {fields['logprobs']} entries and the chosen token", short(row))


def of_embeddings(request: Request, asked: Asked, body: dict[str, Any]) -> Iterator[Divergence]:
    data = body.get("data")
    if not isinstance(data, list):
        return
    indexes = [item.get("index") for item in data if isinstance(item, dict)]
    if indexes != list(range(asked.count)):
        yield Divergence("body.data[].index", f"0 to {asked.count - 1} in order", short(indexes))
    for position, item in enumerate(data):
        vector = _vector(item.get("embedding")) if isinstance(item, dict) else None
        if vector is None:
            continue  # said by the contract, unless it is no base64 of float32
        path = f"body.data[{position}].embedding"
        wanted = request.fields.get("dimensions")
        if wanted and len(vector) != wanted:
            yield Divergence(path, f"{wanted} numbers", f"{len(vector)}")
        length = math.sqrt(sum(number * number for number in vector))
        if not abs(length - 1) < UNIT_TOLERANCE:
            yield Divergence(path, "a vector of length 1", f"length {length:.4f}")
    usage = body.get("usage")
    if isinstance(usage, dict) and usage.get("prompt_tokens") != usage.get("total_tokens"):
        yield Divergence("body.usage", "prompt_tokens = total_tokens", short(usage))


def of_responses(request: Request, asked: Asked, body: dict[str, Any], where: str) -> Iterator[Divergence]:
    fields = request.fields
    output = objects(body.get("output"))
    calls = [item for item in output if item.get("type") == "function_call"]
    is_over = body.get("status") in ("completed", "incomplete")
    if asked.must_call and body.get("status") == "completed" and not calls:
        yield Divergence(f"{where}.output", "(function_call), which the request demands", short(output))
    if calls and not asked.may_call:
        yield Divergence(f"{where}.output", "(message), as no tool may be called", short(calls))
    names = {tool.get("name") for tool in fields.get("tools") or [] if isinstance(tool, dict)}
    if asked.named:
        names = {fields["tool_choice"].get("name")}
    for call in calls:
        if isinstance(call.get("name"), str) and call["name"] not in names:
            yield Divergence(f"{where}.output[].name", f"one of {short(sorted(map(str, names)))}", short(call["name"]))
        if call.get("status") == "completed" and not _is_json(call.get("arguments")):
            yield Divergence(f"{where}.output[].arguments", "JSON in a string", short(call.get("arguments")))
    ids = [str(item.get("id")) for item in output]
    if len(set(ids)) != len(ids):
        yield Divergence(f"{where}.output[].id", "each id once", short(ids))
    if fields.get("background") is not True and where == "body" and not is_over:
        yield Divergence(f"{where}.status", "completed or incomplete", short(body.get("status")))
    yield from _formed(fields, body, output, where)
    yield from _echoed(fields, asked, body, where)
    usage = mapping(body.get("usage"))
    if is_over and not usage:
        yield Divergence(f"{where}.usage", "(responses.usage)", short(body.get("usage")))
    counts = [usage.get(f"{key}_tokens") for key in ("input", "output", "total")]
    if usage and all(isinstance(count, int) for count in counts):
        if counts[0] + counts[1] != counts[2]:
            yield Divergence(f"{where}.usage.total_tokens", "input_tokens + output_tokens", short(usage))
        limit = fields.get("max_output_tokens")
        if isinstance(limit, int) and counts[1] > limit:
            yield Divergence(f"{where}.usage.output_tokens", f"at most {limit}", short(counts[1]))
    why = mapping(body.get("incomplete_details")).get("reason")
    if (body.get("status") == "incomplete") != (why is not None):
        yield Divergence(f"{where}.incomplete_details", "a reason where it is incomplete", short(body.get("incomplete_details")))


def _formed(fields: dict[str, Any], body: dict[str, Any], output: list[dict[str, Any]], where: str) -> Iterator[Divergence]:
    """JSON where it was asked for, as the schema has it where that is strict."""
    form = mapping(mapping(fields.get("text")).get("format"))
    if form.get("type") not in ("json_object", "json_schema") or body.get("status") != "completed":
        return
    for item in output:
        told = "".join(text for part in objects(item.get("content")) if isinstance(text := part.get("text"), str))
        if item.get("type") != "message" or any(part.get("type") == "refusal" for part in objects(item.get("content"))):
            continue
        if not _is_json(told):
            yield Divergence(f"{where}.output[].content", f"JSON, as text.format {form['type']} asks for", short(told))
        elif isinstance(form.get("schema"), dict) and form.get("strict"):
            for error in Draft202012Validator(form["schema"]).iter_errors(json.loads(told)):
                yield Divergence(f"{where}.output[].content", "what the strict schema allows", short(error.message))
                return


def _echoed(fields: dict[str, Any], asked: Asked, body: dict[str, Any], where: str) -> Iterator[Divergence]:
    """A response repeats what it was asked for with."""
    keys = ["instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "previous_response_id", "store", "user"]
    if "plain" in asked.tags:
        keys += ["temperature", "top_p"]
    for key in keys:
        if fields.get(key) is not None and body.get(key) != fields[key]:
            yield Divergence(f"{where}.{key}", short(fields[key]), short(body.get(key)))
    told = [tool.get("name") for tool in objects(body.get("tools"))]
    wanted = [tool.get("name") for tool in fields.get("tools") or [] if isinstance(tool, dict)]
    if told != wanted:
        yield Divergence(f"{where}.tools[].name", short(wanted), short(told))


def of_model(asked: Any, answered: Any, path: str) -> Iterator[Divergence]:
    """OpenAI names the snapshot of what was asked for (`gpt-4o-2024-08-06`, `davinci:2023-07-21-v2`); never a file or another model."""
    if isinstance(asked, str) and isinstance(answered, str) and answered != asked:
        name = asked.removeprefix("ft:")
        if not answered.removeprefix("ft:").startswith(name[:5]):
            yield Divergence(path, f"{short(asked)} or its snapshot", short(answered))


def _indexes(found: list[int], count: int, where: str) -> Iterator[Divergence]:
    wanted = list(range(count))
    ordered = found if where == "body" else sorted(found)
    if ordered != wanted:
        yield Divergence(f"{where}.choices[].index", f"{count} choices, {short(wanted)}", short(found))


def _finish(choice: Choice, kind: str, asked: Asked, path: str) -> Iterator[Divergence]:
    """C01. A named tool ends with `stop` (37 of 37; reasoning models: `tool_calls`), another call with its own reason.

    Of a named legacy function only a reasoning model was recorded; of others both are believed.
    """
    stops = asked.named and "reasoning" not in asked.tags
    usual: tuple[str, ...] = ("stop",)
    if kind == "tool_calls":
        usual = ("stop",) if stops else ("tool_calls",)
    elif kind == "function_call":
        usual = ("stop", "function_call") if stops else ("function_call",)
    if choice.finish not in (*usual, "length", "content_filter", None):
        yield Divergence(f"{path}.finish_reason", f"{' or '.join(map(short, usual))} or length", short(choice.finish))


def _calls(choice: Choice, fields: dict[str, Any], path: str) -> Iterator[Divergence]:
    calls = listing(choice.message.get("tool_calls"))
    names = {tool.get("function", {}).get("name") for tool in fields.get("tools") or [] if isinstance(tool, dict)}
    wanted = fields.get("tool_choice")
    if isinstance(wanted, dict) and "function" in wanted:
        names = {wanted["function"]["name"]}
    ids = [str(call.get("id")) for call in objects(calls)]
    if len(set(ids)) != len(ids):
        yield Divergence(f"{path}.message.tool_calls[].id", "each id once", short(ids))
    if len(calls) > 1 and fields.get("parallel_tool_calls") is False:
        yield Divergence(f"{path}.message.tool_calls", "one call, as parallel_tool_calls is false", f"{len(calls)} calls")
    for position, call in enumerate(calls):
        function = mapping(mapping(call).get("function"))
        if not isinstance(function.get("name"), str):
            continue
        if function["name"] not in names:
            yield Divergence(
                f"{path}.message.tool_calls[{position}].function.name",
                f"one of {short(sorted(map(str, names)))}",
                short(function["name"]),
            )
        if choice.finish != "length" and not _is_json(function.get("arguments")):
            yield Divergence(
                f"{path}.message.tool_calls[{position}].function.arguments", "JSON in a string", short(function.get("arguments"))
            )


def _stops(text: Any, fields: dict[str, Any], path: str) -> Iterator[Divergence]:
    """C21: the stop text is never shown."""
    stops = fields.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        if isinstance(text, str) and stop and stop in text:
            yield Divergence(f"{path}.text", f"without the stop text {short(stop)}", short(text))


def _structured(choice: Choice, kind: str, fields: dict[str, Any], path: str) -> Iterator[Divergence]:
    form = fields.get("response_format") or {}
    content = choice.message.get("content")
    if kind != "text" or choice.finish != "stop" or form.get("type") not in ("json_object", "json_schema"):
        return
    if not _is_json(content):
        yield Divergence(f"{path}.message.content", f"JSON, as response_format {form['type']} asks for", short(content))
        return
    schema = (form.get("json_schema") or {}).get("schema")
    if isinstance(schema, dict) and (form.get("json_schema") or {}).get("strict"):
        for error in Draft202012Validator(schema).iter_errors(json.loads(content or "")):
            yield Divergence(f"{path}.message.content", "what the strict schema allows", short(error.message))
            return


def _top_logprobs(choice: Choice, fields: dict[str, Any], path: str) -> Iterator[Divergence]:
    if not choice.tokens:
        yield Divergence(f"{path}.logprobs.content", "an entry per token", short(choice.tokens))
        return
    wanted = fields.get("top_logprobs") or 0
    for position, token in enumerate(choice.tokens):
        top = token.get("top_logprobs")
        if isinstance(top, list) and len(top) != wanted:
            yield Divergence(f"{path}.logprobs.content[{position}].top_logprobs", f"{wanted} entries", f"{len(top)}")


def _usage(usage: dict[str, Any] | None, request: Request, asked: Asked, where: str) -> Iterator[Divergence]:
    if usage is None or not all(isinstance(usage.get(f"{key}_tokens"), int) for key in ("prompt", "completion", "total")):
        return  # said by the contract
    if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
        yield Divergence(f"{where}.usage.total_tokens", "prompt_tokens + completion_tokens", short(usage))
    fields = request.fields
    # A completion without a limit has 16 tokens (the OpenAPI document).
    default = 16 if request.endpoint == "completions" else None
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens") or default
    # An echoed prompt is counted as the prompt; `best_of` makes more than is sent.
    most = (limit or 0) * max(asked.count, fields.get("best_of") or 1)
    if limit and usage["completion_tokens"] > most:
        yield Divergence(f"{where}.usage.completion_tokens", f"at most {most}", short(usage["completion_tokens"]))
    cached = mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
    if isinstance(cached, int) and cached > usage["prompt_tokens"]:
        yield Divergence(f"{where}.usage.prompt_tokens_details.cached_tokens", "at most prompt_tokens", short(cached))


def _vector(value: Any) -> list[float] | None:
    if isinstance(value, list) and value and all(isinstance(number, (int, float)) for number in value):
        return [float(number) for number in value]
    if isinstance(value, str):
        try:
            packed = base64.b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
        except (ValueError, struct.error):
            return [math.nan]
    return None


def _is_json(text: Any) -> bool:
    try:
        json.loads(text)
    except (ValueError, TypeError):
        return False
    return True
