#!/usr/bin/env python3
"""Checks alerts and boards. See run.sh."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

import boards
import named
import trial

ALERTS = Path("deploy/chart/cloudach/files/alerts.yaml")
TESTS = Path("tests/observe/alerts_test.yaml")
RUNBOOK = Path("docs/operate.md")
SEVERITIES = {"critical", "warning"}


def rules():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def anchors(page):
    """What the headings of a page can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def of_alerts(metrics):
    known, tests = anchors(RUNBOOK), yaml.safe_load(TESTS.read_text())["tests"]
    fires, silent = set(), set()
    for case in (case for test in tests for case in test["alert_rule_test"]):
        (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    for rule in rules():
        name, annotations = rule["alert"], rule["annotations"]
        for problem in named.problems(rule["expr"], metrics):
            yield f"{name}: {problem}"
        if rule["labels"].get("severity") not in SEVERITIES or "for" not in rule:
            yield f"{name}: it has no severity, or does not say for how long"
        if not {"summary", "description", "runbook_url"} <= set(annotations):
            yield f"{name}: it lacks an annotation"
        page, _, section = annotations["runbook_url"].partition("#")
        if Path(page) != RUNBOOK or section not in known or section != name.lower():
            yield f"{name}: {annotations['runbook_url']} is not there"
        if name not in fires or name not in silent:
            yield f"{name}: {TESTS} is to have a case in which it fires, and one in which it does not"


def of_boards(metrics):
    uids = [board["uid"] for board in boards.boards().values()]
    if len(set(uids)) < len(uids):
        yield "two boards have one uid"
    for file, board in boards.boards().items():
        for problem in boards.problems(board):
            yield f"{file}: {problem}"
        for title, expression, legend in boards.expressions(board):
            for problem in named.problems(expression, metrics):
                yield f"{file}: {title}: {problem}"
            kept = re.findall(r"\bby \(([^)]*)\)", expression)
            for label in re.findall(r"{{(\w+)}}", legend):
                # What is summed keeps the labels that it says.
                if kept and not any(label in re.split(r",\s*", group) for group in kept):
                    yield f"{file}: {title}: {label} is summed over, and in the legend"


def of_promtool(promtool):
    """Prometheus's own verdict: rules, their tests, and every expression of a board as a rule."""
    every = [
        {"record": f"board:{number}", "expr": trial.filled(expression)}
        for number, (_, expression, _) in enumerate(e for board in boards.boards().values() for e in boards.expressions(board))
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "boards.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": every}]}))
        for command in (["check", "rules", ALERTS], ["check", "rules", file], ["test", "rules", TESTS]):
            ran = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
            if ran.returncode:
                yield f"promtool {' '.join(map(str, command))}:\n{ran.stdout}{ran.stderr}"
    print(f"[observe] {len(rules())} alerts and {len(every)} expressions of boards are valid PromQL")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--static", action="store_true")
    options = parser.parse_args()
    metrics = named.documented()
    found = [*of_alerts(metrics), *of_boards(metrics), *of_promtool(options.tools / "promtool")]
    if not found and not options.static:
        found = trial.problems(options.tools / "prometheus", options.bin, metrics, ALERTS)
    for problem in found:
        print(f"[observe] {problem}")
    print(f"[observe] {'everything is as it should be' if not found else f'{len(found)} problems'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
