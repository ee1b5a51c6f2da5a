"""What metrics there are, by docs/metrics.md, and whether an expression names only those. No I/O but reading that page."""

import re
from pathlib import Path

# Labels that Prometheus gives whatever it reads.
OF_TARGETS = {"job", "instance"}
# Series that Prometheus makes itself.
OF_PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity", "model"}}
# An `on` or `by` is followed by labels; a name that one of these or a parenthesis follows is no series.
GROUPING = r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)"


def documented(page=Path("docs/metrics.md")):
    """By its name, each metric's type and its labels: their values where all are known, else None."""
    metrics = {}
    for line in page.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        _, name, kind, _, labels, _, _ = (cell.strip() for cell in line.split("|"))
        values = {}
        for label in filter(None, labels.split("<br>")):
            label, said = label.split(": ", 1)
            listed = re.fullmatch(r"`[^`]*`(, `[^`]*`)*", said)
            values[label.strip("`")] = re.findall(r"`([^`]*)`", said) if listed else None
        metrics[name.strip("`")] = (kind, values)
    return metrics


def series(expression):
    """The series that an expression asks for: their names, and what their labels are to be."""
    text = re.sub(GROUPING, " ", expression)
    found = []
    for name, matchers in re.findall(r"(?<![\w:\"$.{])([a-zA-Z_:][\w:]*)\b(?!\s*\()(?:\s*\{([^}]*)\})?", re.sub(r"\[[^]]*\]", "", text)):
        if name in ("or", "and", "unless", "bool", "offset", "inf", "nan"):
            continue
        found.append((name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers)))
    return found


def problems(expression, metrics):
    """What is wrong with an expression."""
    labels = set(OF_TARGETS)
    for name, matchers in series(expression):
        kind, own = lookup(name, metrics)
        if own is None:
            yield f"{name} is no metric"
            continue
        if kind == "histogram":
            yield f"{name} is a histogram: ask for its _bucket, _sum or _count"
        labels |= set(own)
        for label, how, value in matchers:
            if label not in own and label not in OF_TARGETS:
                yield f"{name} has no label {label}"
            elif own.get(label) and "$" not in value:
                asked = value.split("|") if "~" in how else [value]
                wrong = [one for one in asked if one not in own[label]]
                if wrong:
                    yield f"{name}: {label} is never {', '.join(wrong)}"
    for group in re.findall(GROUPING, expression):
        for label in filter(None, (label.strip() for label in group.split(","))):
            if label not in labels:
                yield f"nothing here has a label {label}"
    for metric in re.findall(r"(?:rate|increase)\((\w+)", expression):
        kind, _ = lookup(metric, metrics)
        if kind not in ("counter", "of histogram", None):
            yield f"{metric} is no counter: it has no rate"


def lookup(name, metrics):
    """The type and the labels of a series."""
    if name in OF_PROMETHEUS:
        return None, dict.fromkeys(OF_PROMETHEUS[name])
    if name in metrics:
        return metrics[name]
    stem, part, rest = name.rpartition("_")
    if f"{part}{rest}" in ("_bucket", "_sum", "_count") and metrics.get(stem, ("",))[0] == "histogram":
        own = dict(metrics[stem][1])
        return "of histogram", {**own, "le": None} if rest == "bucket" else own
    return None, None
