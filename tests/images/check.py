#!/usr/bin/env python3
"""Checks deploy/images/Dockerfile and .dockerignore by the rules that matter of hadolint's, and by what is built here. No image is built.

    tests/images/check.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
SBOM = "/usr/share/doc/cloudach/sbom.cdx.json"
TARGETS = {"edge": "cloudach-edge", "router": "cloudach-router", "sidecar": "cloudach-sidecar", "standalone": "cloudach"}


def instructions(text):
    """Yields each instruction and its words, comments left out and lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, rest = line.split(None, 1)
        yield name, rest.strip()


def pinned(image):
    name = image.rsplit("/", 1)[-1]
    return "@sha256:" in image or (":" in name and not name.endswith(":latest"))


def dockerfile(text, expect):
    arguments, stages, stage = {}, {}, None
    for name, rest in instructions(text):
        if name == "ARG" and stage is None:
            key, _, value = rest.partition("=")
            arguments[key] = value
            expect(pinned(value), f"{key}={value} is no fixed image (DL3006, DL3007)")
        elif name == "FROM":
            image, _, stage = rest.partition(" AS ")
            expect(bool(stage), f"FROM {image} has no name")
            variable = re.fullmatch(r"\$\{(\w+)\}", image)
            expect(variable and variable[1] in arguments or image in stages or pinned(image), f"FROM {image} is no fixed image")
            stages[stage] = {"copied": [], "from": [], "user": None, "entrypoint": None, "cmd": None}
        elif name == "USER":
            stages[stage]["user"] = rest
        elif name in {"ENTRYPOINT", "CMD"}:
            try:
                words = json.loads(rest)
            except ValueError:
                words = None
            expect(isinstance(words, list), f"{stage}: {name} needs a shell (DL3025)")
            stages[stage][name.lower()] = words
        elif name == "COPY":
            words = [word for word in rest.split() if not word.startswith("--")]
            source = re.search(r"--from=(\S+)", rest)
            expect(not source or source[1] in stages, f"{stage}: COPY from {rest}, which is no stage before (DL3022)")
            stages[stage]["copied"] += [words[-1]]
            stages[stage]["from"] += words[:-1]
        elif name == "WORKDIR":
            expect(rest.startswith("/"), f"{stage}: WORKDIR {rest} (DL3000)")
        elif name == "RUN":
            expect("sudo" not in rest and "apt-get" not in rest and "curl" not in rest, f"{stage}: RUN {rest} fetches what is not fixed (DL3008, DL3004)")
            expect(" | " not in rest, f"{stage}: a pipe hides what fails (DL4006)")
            shell = not rest.startswith("[")
            expect(not (shell and stage in TARGETS), f"{stage}: RUN needs a shell")
        else:
            expect(name in {"ARG", "ENV", "LABEL", "EXPOSE"}, f"{name} is not known here; ADD fetches (DL3020)")
    expect(TARGETS.keys() <= stages.keys(), f"there are {sorted(stages)}")
    for target, program in TARGETS.items():
        its = stages[target]
        path = f"/usr/local/bin/{program}"
        expect(re.fullmatch(r"[1-9]\d*:[1-9]\d*", its["user"] or ""), f"{target} runs as {its['user']} (DL3002)")
        expect(its["entrypoint"] == [path] and its["copied"] == [path, SBOM], f"{target} starts {its['entrypoint']}, and has {its['copied']}")
        expect(its["from"] == [f"/out/{program}", f"/out/sbom/{program}.cdx.json"], f"{target} has {its['from']}")
        expect(its["cmd"] is not None, f"{target} has no CMD")
        expect(re.search(rf"-p {program}\b(?!-)", text), f"{program} is not built")


def boms(text, folder, expect):
    """The bills of material, made by the Dockerfile's own command, name every crate that is in a program, and each as the lock file has it. How many of its crates that are, or
    None where the tool is not there."""
    tool = os.environ.get("CARGO_CYCLONEDX") or shutil.which("cargo-cyclonedx")
    if not tool:
        return None
    version = subprocess.run([tool, "cyclonedx", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    expect(f"cargo-cyclonedx@{version} " in text + " " or f"cargo-cyclonedx@{version}\n" in text, f"the Dockerfile has another cargo-cyclonedx than {version}")
    [command] = re.findall(r"cargo (cyclonedx .*?) \\\n    &&", text, re.DOTALL)
    host = subprocess.run(["rustc", "--print", "host-tuple"], capture_output=True, text=True, check=True).stdout.strip()
    words = command.replace("\\\n", " ").replace('"$(rustc --print host-tuple)"', host).split()
    made = subprocess.run([tool, *words], cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    expect(made.returncode == 0, f"cargo cyclonedx: {made.stderr}")
    if made.returncode:
        return None
    locked = {}
    for package in re.split(r"\n\[\[package\]\]\n", (ROOT / "Cargo.lock").read_text())[1:]:
        its = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', package, re.MULTILINE))
        locked[its["name"], its["version"]] = its.get("checksum")
    told = set()
    for source, program in re.findall(r"install -D (\S+_bin\.cdx\.json) /out/sbom/(\S+)\.cdx\.json", text):
        bom = json.loads((Path(folder) / source).read_text())
        its = {(each["name"], each["version"]): {hash["content"] for hash in each.get("hashes", [])} for each in bom["components"]}
        tree = ["cargo", "tree", "--locked", "-p", program, "-e", "normal,build", "--target", host, "--prefix", "none", "--format", "{p}"]
        lines = subprocess.run(tree, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        needed = {(name, version) for name, version in re.findall(r"^(\S+) v(\S+)", "\n".join(lines), re.MULTILINE)} - {(program, bom["metadata"]["component"]["version"])}
        expect(needed <= its.keys(), f"{program}: its bill does not name {sorted(needed - its.keys())}")
        expect(its.keys() <= locked.keys(), f"{program}: its bill names {sorted(its.keys() - locked.keys())}, which the lock file does not have")
        wrong = sorted(name for name in its.keys() & locked.keys() if locked[name] and locked[name] not in its[name])
        expect(not wrong, f"{program}: its bill has other checksums for {wrong}")
        licences = sorted(f"{each['name']} {each['version']}" for each in bom["components"] if not each.get("licenses"))
        expect(not licences, f"{program}: no licence is told of {licences}")
        told |= its.keys()
    return len(told), len(locked)


def context(text, expect):
    """The files that reach the build are enough for Cargo."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def kept(path):
        keep = True
        parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        for rule in rules:
            pattern = rule.lstrip("!")
            patterns = [pattern, pattern[3:]] if pattern.startswith("**/") else [pattern]
            # Docker's `*` does not go over `/`.
            if any(fnmatch(at, each) and (pattern.startswith("**/") or at.count("/") == each.count("/")) for at in parents for each in patterns):
                keep = rule.startswith("!")
        return keep

    bills = None
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files = [path for path in listed if kept(path) and (ROOT / path).is_file()]
    for path in (".cache/chart/helm", "target/debug/cloudach", ".git/config", "deploy/local/edge.yaml", "tests/e2e/run.sh", "edge/model/fuzz/target/x"):
        expect(not kept(path), f"{path} reaches the build")
    # What is compiled in must be there, too.
    for path in files:
        if path.endswith(".rs") and "/tests" not in path:
            for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', (ROOT / path).read_text()):
                found = (ROOT / path).parent.joinpath(name).resolve().relative_to(ROOT)
                expect(str(found) in files, f"{path} includes {found}, which does not reach the build")
    if shutil.which("cargo"):
        with tempfile.TemporaryDirectory() as folder:
            for path in files:
                to = Path(folder, path)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes((ROOT / path).read_bytes())
            asked = ["cargo", "metadata", "--format-version=1", "--locked", "--no-deps"]
            answer = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
            expect(answer.returncode == 0, f"cargo does not find all it needs in the build's files:\n{answer.stderr}")
            if answer.returncode == 0:
                bins = {target["name"] for package in json.loads(answer.stdout)["packages"] for target in package["targets"] if "bin" in target["kind"]}
                expect(set(TARGETS.values()) <= bins, f"there is no program {set(TARGETS.values()) - bins}")
                bills = boms(text, folder, expect)
    return len(files), bills


def main():
    passed, problems = 0, []

    def expect(holds, problem):
        nonlocal passed
        if holds:
            passed += 1
        else:
            problems.append(problem)

    path = ROOT / "deploy/images/Dockerfile"
    dockerfile(path.read_text(), expect)
    files, bills = context(path.read_text(), expect)
    if hadolint := shutil.which("hadolint"):
        lint = subprocess.run([hadolint, str(path)], capture_output=True, text=True, check=False)
        expect(lint.returncode == 0, lint.stdout)
    for problem in problems:
        print(f"[images] {problem}")
    print(f"[images] {len(TARGETS)} targets, {files} files reach the build; {'hadolint and ' if hadolint else ''}rules of our own")
    if bills:
        print(f"[images] bills of material name {bills[0]} of the lock file's {bills[1]} crates; the rest is of tests and other systems")
    else:
        print("[images] SKIPPED: the bills of material were not made: `cargo install --locked cargo-cyclonedx@0.5.9`, or CARGO_CYCLONEDX=PATH")
    print(f"{passed} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
