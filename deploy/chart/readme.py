#!/usr/bin/env python3
"""Writes the table of values in the chart's README from the comments in values.yaml.

    deploy/chart/readme.py           write it
    deploy/chart/readme.py --check   exit with 1 where it is stale, or a value has no comment

A value's comment stands above it.
"""

import re
import sys
from pathlib import Path

CHART = Path(__file__).parent / "cloudach"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


def values(text):
    """Yields path, default and comment of each value that is one line, or a folder of values."""
    path, comment = [], []
    for line in text.splitlines():
        if not line.strip():
            comment = []
        elif found := re.match(r"( *)# ?(.*)", line):
            comment.append(found[2])
        elif found := re.match(r"( *)([A-Za-z]\w*):(?: (.*))?$", line):
            depth = len(found[1]) // 2
            path = [*path[:depth], found[2]]
            yield ".".join(path), found[3], " ".join(comment)
            comment = []


def table(text):
    rows = ["| value | default | what it is |", "|---|---|---|"]
    for path, default, comment in values(text):
        if default is None and not comment:
            continue
        shown = "" if default is None else f"`{default}`"
        rows.append("| `{}` | {} | {} |".format(path, *(cell.replace("|", "\\|") for cell in (shown, comment))))
    return "\n".join(rows)


def uncommented(text):
    """Values without a comment."""
    return [path for path, default, comment in values(text) if default is not None and not comment]


def main():
    text = (CHART / "values.yaml").read_text()
    page = CHART / "README.md"
    before, rest = page.read_text().split(BEGIN)
    wanted = f"{before}{BEGIN}\n{table(text)}\n{END}{rest.split(END)[1]}"
    if "--check" not in sys.argv:
        page.write_text(wanted)
        return 0
    problems = [f"{path} has no comment in values.yaml" for path in uncommented(text)]
    if page.read_text() != wanted:
        problems.append(f"{page} is stale: run deploy/chart/readme.py")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
