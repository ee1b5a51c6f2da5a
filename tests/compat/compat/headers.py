"""The headers of an answer: presence and form, per class of answer (contract/headers.yaml)."""

from collections.abc import Iterator

from .contract import Contract
from .divergence import ABSENT, Divergence, short
from .exchange import Answer, Expected, Request

# Families that are OpenAI's own: one that the class does not have is an extra.
FAMILIES = ("openai-", "x-ratelimit-")


def class_of(request: Request, status: int, code: object = None) -> str:
    """The class of the answer that OpenAI gives with this status."""
    if request.endpoint == "other" or status in (405, 500, 503):
        return "unrecorded"
    if request.endpoint == "responses":
        kind = "responses_stream" if request.streams else "responses"
        return kind if status == 200 else "responses_edge" if status == 401 else "responses_refused"
    if status in (401, 403) or (status == 404 and code == "model_not_found" and request.endpoint != "models"):
        return "edge"
    if request.endpoint == "models":
        return "models"
    if status == 200:
        return f"{request.endpoint}_stream" if request.streams else request.endpoint
    return "refused"


def compare(contract: Contract, expected: Expected, answer: Answer, old: bool) -> Iterator[Divergence]:
    if expected.headers is None:
        return
    rules = contract.headers[expected.headers]
    media = rules["content-type"]
    found = answer.headers.get("content-type", ABSENT)
    if found not in (media if isinstance(media, list) else [media]):
        yield Divergence("headers.content-type", short(media), short(found))
    known = {**rules["always"], **rules.get("may", {})}
    for name in rules["always"]:
        if name not in answer.headers:
            yield Divergence(f"headers.{name}", _wanted(known[name]), ABSENT)
    for name, value in answer.headers.items():
        if name in known:
            if not _fits(contract, known[name], value, old):
                yield Divergence(f"headers.{name}", _wanted(known[name]), short(value))
        elif name.startswith(FAMILIES) and not rules.get("anything"):
            yield Divergence(f"headers.{name}", ABSENT, short(value))


def _fits(contract: Contract, rule: dict[str, str], value: str, old: bool) -> bool:
    if "is" in rule:
        return value == rule["is"]
    form = "old_request_id" if old and rule["form"] == "request_id" else rule["form"]
    return contract.has_form(form, value)


def _wanted(rule: dict[str, str]) -> str:
    return short(rule["is"]) if "is" in rule else f"({rule['form']})"
