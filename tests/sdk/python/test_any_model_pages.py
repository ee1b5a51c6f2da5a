"""Every program of docs/clients runs as it stands, and says something."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from gateway import CHAT

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs/clients"

# By the environment that a page names: what runs its programs, and where.
RUN = {
    "python": ([sys.executable, "-"], ROOT),
    "frameworks": ([ROOT / ".cache/sdk-frameworks/bin/python", "-"], ROOT),
    # Modules are found from where it runs.
    "node": (["node", "--input-type=module", "-"], ROOT / "tests/sdk/node"),
}
PART = re.compile(r"<!-- environment: (\w+) -->|```(?:python|js)\n(.*?)```", re.DOTALL)


def programs():
    for page in sorted(PAGES.glob("*.md")):
        environment = None
        for number, (named, program) in enumerate(PART.findall(page.read_text())):
            environment = named or environment
            if program:
                yield pytest.param(environment, program, id=f"{page.stem}-{number}")


def test_each_page_is_listed_and_has_a_program():
    listed = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (PAGES / "README.md").read_text()))
    assert listed == {page.name for page in PAGES.glob("*.md")} - {"README.md"}
    assert {name.id.rsplit("-", 1)[0] + ".md" for name in programs()} == listed


def test_the_versions_that_are_told_are_those_that_are_tested():
    tests = ROOT / "tests/sdk"
    pinned = set(json.loads((tests / "node/package.json").read_text())["dependencies"].items())
    for file in ("python/requirements.txt", "frameworks/requirements.txt"):
        pinned |= set(re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)", (tests / file).read_text(), re.MULTILINE))
    page = (ROOT / "docs/compatibility.md").read_text()
    [table] = re.findall(r"^\| client \| version \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    rows = [row.split(" | ") for row in table.splitlines()[2:] if row]
    told = {found for row in rows for found in re.findall(r"`(\S+)` (\d[\w.]*)", row[1])}
    assert len(rows) >= 14 and len(told) >= 16
    assert told <= pinned, told - pinned


@pytest.mark.skipif(CHAT == "sdk-chat", reason="once is enough, and a real model is what they are for")
@pytest.mark.parametrize("environment, program", list(programs()))
@pytest.mark.timeout(180)
def test_a_page(environment, program):
    command, place = RUN[environment]
    # Programs leave to chance what the model says, and a small one rambles now and then until a call or an answer is cut
    # off, which some clients take for an error. What is wrong with a page or the gateway is so each time.
    for _ in range(3):
        ran = subprocess.run(command, input=program, cwd=place, capture_output=True, text=True, timeout=55)
        if ran.returncode == 0:
            break
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
