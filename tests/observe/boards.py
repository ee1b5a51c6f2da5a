"""Whether boards fit Grafana, as far as that can be seen without one: by its own types of boards, panels and queries."""

import json
import re
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()

FOLDER = Path("deploy/chart/cloudach/files/dashboards")
KINDS = {"row", "timeseries", "stat", "bargauge", "table"}
WIDTH = 24
# What Grafana puts in itself.
GIVEN = {"__rate_interval", "__range", "__all"}


def boards():
    """Each board, by its file's name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def expressions(board):
    """Title of the panel, expression and legend of each query."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]


def lost(ours, theirs, path=""):
    """What is in our values and not in theirs, or is another there."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from lost(value, theirs[key], f"{path}.{key}")
            elif value not in (None, "", [], {}, False):
                yield f"{path}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs)):
            yield from lost(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield path


def problems(board):
    """What is wrong with a board."""
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
    for path in lost(board, read):
        yield f"Grafana knows no {path[1:]}"
    names = {variable["name"] for variable in board["templating"]["list"]} | GIVEN
    for key in ("uid", "title", "schemaVersion", "time", "panels"):
        if not board.get(key):
            yield f"it has no {key}"
    if len(board["uid"]) > 40:
        yield "its uid has more than 40 characters"
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) < len(ids):
        yield "two panels have one id"
    if board["templating"]["list"][0]["type"] != "datasource":
        yield "its first variable is no data source"
    taken = {}
    for panel in board["panels"]:
        title, place = panel["title"], panel["gridPos"]
        if panel["type"] not in KINDS:
            yield f"{title}: the type {panel['type']} is not known here"
        if not title:
            yield "a panel has no title"
        if place["x"] < 0 or place["x"] + place["w"] > WIDTH or place["h"] < 1 or place["w"] < 1:
            yield f"{title} is not within the board"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if taken.setdefault((x, y), title) != title:
                    yield f"{title} lies over {taken[x, y]}"
        if panel["type"] == "row":
            continue
        if not panel.get("targets"):
            yield f"{title} asks for nothing"
        sources = [panel.get("datasource"), *(target.get("datasource") for target in panel["targets"])]
        if any(source != {"type": "prometheus", "uid": "${datasource}"} for source in sources):
            yield f"{title} does not ask the data source that is chosen"
        if len({target["refId"] for target in panel["targets"]}) < len(panel["targets"]):
            yield f"{title} has two queries of one name"
    for name in re.findall(r"\$\{?(\w+)", json.dumps(board)):
        if name not in names:
            yield f"there is no variable {name}"
