"""Refusals: the envelope, and the texts that people and programs parse.

A message is compared to the letter but for what cannot be the same: the model's name, the key's mask, and the few numbers that
are the server's own. In a form these stand as placeholders: `{model}`, `{key}`, `{number}`, `{anything}`.
"""

import re
from collections.abc import Iterator
from typing import Any

from .contract import Contract
from .divergence import Divergence, short
from .exchange import ANY, Answer, RefusalForm

PLACEHOLDERS = {"model": r"[^`'\"]+", "key": r"\S+", "number": r"-?\d+(\.\d+)?", "anything": r"(?s:.+)"}

# Numbers in a message that a server has of its own: the size of its vocabulary and of its context.
OWN_NUMBERS = (
    (re.compile(r"maximum value is \d+ \(inclusive\)"), "maximum value is {number} (inclusive)"),
    (re.compile(r"maximum context length is \d+ tokens"), "maximum context length is {number} tokens"),
    (re.compile(r"(resulted in|requested) \d+ tokens"), r"\1 {number} tokens"),
    (re.compile(r"\(\d+ in (the messages|your prompt)"), r"({number} in \1"),
)
KEY = re.compile(r"(Incorrect API key provided: )(.+?)(\.? You can find)")


def form_of(error: dict[str, Any], model: str | None) -> RefusalForm:
    """A recorded error as the form that another server's must have."""
    message = str(error.get("message"))
    message = KEY.sub(r"\1{key}. You can find", message)
    if model:
        for quote in "`'":
            message = message.replace(f"{quote}{model}{quote}", f"{quote}{{model}}{quote}")
    if "has been deprecated" in message:
        # A server that never had the model says that it does not exist.
        message = ANY
    for pattern, form in OWN_NUMBERS:
        message = pattern.sub(form, message)
    return RefusalForm(message, error.get("type"), error.get("param"), error.get("code"))


def compare(contract: Contract, form: RefusalForm, answer: Answer) -> Iterator[Divergence]:
    examination = contract.examine("error.envelope", answer.json, "body", frozenset())
    if examination.divergences:
        yield from examination.divergences
        return
    error = answer.json["error"]
    for key in ("type", "param", "code"):
        wanted = getattr(form, key)
        if wanted != ANY and error[key] != wanted:
            yield Divergence(f"body.error.{key}", short(wanted), short(error[key]))
    if not matches(form.message, error["message"]):
        yield Divergence("body.error.message", short(form.message, 240), short(error["message"], 240))


def matches(form: str, text: str) -> bool:
    pieces = re.split(r"\{(model|key|number|anything)\}", form)
    pattern = "".join(PLACEHOLDERS[piece] if position % 2 else re.escape(piece) for position, piece in enumerate(pieces))
    return re.fullmatch(pattern, text) is not None


def is_envelope(contract: Contract, answer: Answer) -> bool:
    return not contract.examine("error.envelope", answer.json, "body", frozenset()).divergences
