"""Which kind of thing a message, a chunk or a delta is, where the contract describes one part per kind.

The kind is decided by what is there and means something: an empty `tool_calls` makes no tool call, so that an empty list
where OpenAI sends no key is an extra in a text, and not an odd kind of call.
"""

from collections.abc import Callable
from typing import Any

# Models whose answers have keys that others have not, by OpenAI's names.
PLAIN, REASONING, SEARCH, AUDIO = "plain", "reasoning", "search", "audio"


def model_kind(model: str) -> str:
    name = model.removeprefix("ft:")
    if "search" in name:
        return SEARCH
    if "audio" in name:
        return AUDIO
    if name.startswith(("gpt-5", "gpt-6", "o1", "o3", "o4")):
        return REASONING
    return PLAIN


def message_kind(message: dict[str, Any]) -> str:
    if message.get("tool_calls"):
        return "tool_calls"
    if message.get("function_call"):
        return "function_call"
    if message.get("audio"):
        return "audio"
    if message.get("refusal"):
        return "refusal"
    return "text"


def chunk_kind(chunk: dict[str, Any]) -> str:
    return "usage" if chunk.get("choices") == [] and chunk.get("usage") else "choices"


def delta_kind(delta: dict[str, Any]) -> str:
    if "role" in delta:
        if delta.get("tool_calls"):
            return "role_call"
        if delta.get("function_call"):
            return "role_function"
        return "role_calls" if delta.get("content") is None else "role_text"
    if delta.get("tool_calls"):
        return "call"
    if delta.get("function_call"):
        return "function"
    if "content" in delta:
        return "content"
    if delta.get("refusal"):
        return "refusal"
    return "finish"


def call_kind(call: dict[str, Any]) -> str:
    return "open" if "id" in call else "more"


def item_kind(item: dict[str, Any]) -> str:
    return _known(item, ("message", "function_call", "reasoning"))


def part_kind(part: dict[str, Any]) -> str:
    return _known(part, ("output_text", "refusal", "summary_text", "reasoning_text"))


def format_kind(wanted: dict[str, Any]) -> str:
    return _known(wanted, ("text", "json_object", "json_schema"))


EVENTS = {
    "response.created": "response",
    "response.in_progress": "response",
    "response.queued": "response",
    "response.completed": "response",
    "response.incomplete": "response",
    "response.failed": "response",
    "response.cancelled": "response",
    "response.output_item.added": "item",
    "response.output_item.done": "item",
    "response.content_part.added": "part",
    "response.content_part.done": "part",
    "response.reasoning_summary_part.added": "summary_part",
    "response.reasoning_summary_part.done": "summary_part",
    "response.output_text.delta": "text_delta",
    "response.output_text.done": "text_done",
    "response.reasoning_text.delta": "reasoning_delta",
    "response.reasoning_text.done": "reasoning_done",
    "response.reasoning_summary_text.delta": "reasoning_delta",
    "response.reasoning_summary_text.done": "reasoning_done",
    "response.function_call_arguments.delta": "arguments_delta",
    "response.function_call_arguments.done": "arguments_done",
}


def event_kind(event: dict[str, Any]) -> str:
    kind = event.get("type")
    return EVENTS.get(kind, "unknown") if isinstance(kind, str) else "unknown"


def _known(value: dict[str, Any], kinds: tuple[str, ...]) -> str:
    kind = value.get("type")
    return kind if kind in kinds else "unknown"


KINDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "chat.message": message_kind,
    "chat.chunk": chunk_kind,
    "chat.delta": delta_kind,
    "chat.delta_call": call_kind,
    "completions.chunk": chunk_kind,
    "responses.item": item_kind,
    "responses.part": part_kind,
    "responses.format": format_kind,
    "responses.event": event_kind,
}
