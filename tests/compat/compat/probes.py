"""The suite's own requests: `probes/*.yaml`, which need no recordings.

A file is a list of probes:

  - name: chat/stream/usage         # its group is what stands before the first slash
    covers: [C05, C13]              # entries of the checklist
    post: /v1/chat/completions      # or `get:`
    body: {model: $MODEL, ...}      # $MODEL, $COMPLETION_MODEL, $EMBEDDING_MODEL; or `raw:` text
    key: none | wrong               # by default the right one
    refused: {status, message, type, param, code}   # without it the answer is expected to be 200 and of the contract's shape
    headers: edge                   # the class of contract/headers.yaml, where it is not the one the status says
    needs: [text]                   # what only some models can do: a 400 of OpenAI's form is as right as an answer
  vendor: true                    # a field that OpenAI does not know
    only_if_refused: REASON         # says nothing of a server that answers 200
    source: where the expectation comes from, where it is not the checklist's entry

`values:` beside `body:` makes one probe for each of its entries, which are merged into the body. $LONG is a text too long for
any small context. For answers that are not refused, limits of tokens are lowered to `--cap-tokens`.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from . import headers
from .exchange import ANY, Exchange, Expected, Key, RefusalForm, Request
from .recordings import Limits, Models, capped

# About 150 000 tokens: more than the models have for which a deployment's gate is run. Where a model has more, the answer is 200
# or takes long; `--only` leaves the probe out.
LONG = "one two three four five six seven eight nine ten " * 15_000

FOLDER = Path(__file__).parent.parent / "probes"
KEYS = {
    "name",
    "needs",
    "covers",
    "post",
    "get",
    "body",
    "raw",
    "key",
    "refused",
    "headers",
    "vendor",
    "only_if_refused",
    "source",
    "values",
}


def load(models: Models, limits: Limits, folder: Path = FOLDER) -> list[Exchange]:
    return [
        _exchange(probe, models, limits)
        for path in sorted(folder.glob("*.yaml"))
        for stored in yaml.safe_load(path.read_text(encoding="utf-8"))
        for probe in _spread(stored)
    ]


def _spread(probe: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if unknown := set(probe) - KEYS:
        raise ValueError(f"probe {probe.get('name')}: unknown {', '.join(sorted(unknown))}; the fields are in compat/probes.py")
    values = probe.get("values")
    if values is None:
        yield probe
        return
    for name, fields in values.items():
        one = copy.deepcopy(probe)
        one["name"] = f"{probe['name']}/{name}"
        one["body"].update(fields)
        yield one


def _exchange(probe: dict[str, Any], models: Models, limits: Limits) -> Exchange:
    method = "POST" if "post" in probe else "GET"
    raw = probe.get("raw")
    missing: set[str] = set()
    body = _named(probe.get("body"), models, missing)
    path = _named(probe.get("post") or probe["get"], models, missing)
    request = Request(method, path, body, raw.encode() if isinstance(raw, str) else None, Key(probe.get("key", "good")))
    refused = probe.get("refused")
    status = refused["status"] if refused else 200
    code = refused.get("code") if refused else None
    form = RefusalForm(refused["message"], *(refused.get(key, ANY) for key in ("type", "param", "code"))) if refused else None
    return Exchange(
        name=probe["name"],
        request=capped(request, limits) if not refused else request,
        expected=Expected(status, form, probe.get("headers") or headers.class_of(request, status, code)),
        covers=tuple(probe.get("covers", ())),
        needs=frozenset(probe.get("needs", ())),
        vendor=bool(probe.get("vendor")),
        only_if_refused=probe.get("only_if_refused"),
        not_applicable=f"no {' or '.join(sorted(missing))} given" if missing else None,
    )


def _named(value: Any, models: Models, missing: set[str]) -> Any:
    """The value with this server's model names in it."""
    if isinstance(value, dict):
        return {key: _named(item, models, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, models, missing) for item in value]
    if not isinstance(value, str):
        return value
    if "$EMBEDDING_MODEL" in value and models.embedding is None:
        missing.add("--embedding-model")
    if value == "$LONG":
        return LONG
    value = value.replace("$EMBEDDING_MODEL", models.embedding or "")
    value = value.replace("$COMPLETION_MODEL", models.completion or models.chat)
    return value.replace("$MODEL", models.chat)
