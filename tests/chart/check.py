"""Checks the chart; see run.sh."""

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import policies
import settings
import yaml

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests/chart"
CHART = ROOT / "deploy/chart/cloudach"
# The oldest that the chart is for, and the newest whose schemas there are.
VERSIONS = ["1.29", "1.37"]
# Kinds that are not Kubernetes' own; their schemas are not at hand.
FOREIGN = {"Certificate", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}


class Checks:
    """Counts what was looked at, and keeps what is wrong."""

    def __init__(self):
        self.passed = 0
        self.problems = []

    def expect(self, holds, problem):
        if holds:
            self.passed += 1
        else:
            self.problems.append(problem)


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def render(helm, values, checks):
    lint = run(helm, "lint", "--strict", "--quiet", CHART, "-f", values)
    checks.expect(lint.returncode == 0, f"{values.stem}: helm lint:\n{lint.stdout}{lint.stderr}")
    out = run(helm, "template", "cloudach", CHART, "--namespace", "llm", "-f", values)
    checks.expect(out.returncode == 0, f"{values.stem}: helm template:\n{out.stderr}")
    # Versions of helm differ in empty lines alone.
    return "".join(line + "\n" for line in out.stdout.splitlines() if line.strip())


def snapshot(name, text, update, checks):
    path = HERE / "snapshots" / f"{name}.yaml"
    if update:
        path.write_text(text)
    old = path.read_text() if path.exists() else ""
    diff = difflib.unified_diff(old.splitlines(True), text.splitlines(True), "snapshot", "rendered", n=2)
    checks.expect(old == text, f"{name} is not its snapshot (run with --update, and read the diff):\n{''.join(list(diff)[:60])}")


def without_boards(text):
    """What is rendered, without the text of boards: that is their files', and is held against them."""
    return re.sub(r"(?m)^  cloudach-(\w+)\.json: \|\n(?:    .*\n)+", r"  cloudach-\1.json: files/dashboards/\1.json\n", text)


def whole(name, manifests, checks):
    """Whether boards and alerts are those of the chart's files."""
    boards = [manifest for manifest in manifests if manifest["kind"] == "ConfigMap" and "-board-" in manifest["metadata"]["name"]]
    for manifest in boards:
        for key, text in manifest["data"].items():
            file = CHART / "files/dashboards" / key.removeprefix("cloudach-")
            checks.expect(text == file.read_text(), f"{name}: {key} is not {file}")
    checks.expect(not boards or len(boards) == len(list((CHART / "files/dashboards").iterdir())), f"{name}: a board is missing")
    alerts = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    for manifest in manifests:
        if manifest["kind"] != "PrometheusRule":
            continue
        for group, own in zip(manifest["spec"]["groups"], alerts, strict=True):
            for rule, wanted in zip(group["rules"], own["rules"], strict=True):
                link = rule["annotations"].pop("runbook_url")
                ends = wanted["annotations"].pop("runbook_url").removeprefix("docs/operate.md")
                checks.expect(rule == wanted and link.endswith(ends) and not link.startswith(ends), f"{name}: {rule['alert']} is not as in the file")


def schemas(name, manifests, checks):
    for manifest in manifests:
        if manifest["kind"] in FOREIGN:
            continue
        for version in VERSIONS:
            where = f"{name}: {manifest['kind']} {manifest['metadata']['name']}, Kubernetes {version}"
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
                problem = None
            except kubernetes_validate.ValidationError as error:
                problem = error.message
            checks.expect(problem is None, f"{where}: {problem}")


def accepted(name, manifests, program, folder, checks):
    """Whether the services accept the files that they are given."""
    files = {}
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap" and "-board-" not in manifest["metadata"]["name"]:
            files |= manifest["data"]
    for key, text in files.items():
        (folder / key).write_text(text.replace("/etc/cloudach/catalogue/", f"{folder}/"))
    for key in files:
        kind = {"edge.yaml": "edge", "router.yaml": "router", "catalogue.yaml": "catalogue"}.get(key, "sidecar")
        verdict = run(program, "check", "--as", kind, folder / key)
        checks.expect(verdict.returncode == 0, f"{name}: {key} is refused: {verdict.stderr}")
    return len(files)


def refusals(helm, checks):
    """Values that must be refused, and what must be said of them."""
    cases = yaml.safe_load((HERE / "refused.yaml").read_text())
    for case in cases:
        words = []
        for setting in case["set"]:
            words += ["--set-json" if setting.split("=", 1)[1][:1] in "[{" else "--set", setting]
        out = run(helm, "template", "cloudach", CHART, "-f", HERE / "values/minimal.yaml", *words)
        # Helm 3 writes a.b where Helm 4 writes /a/b.
        said = out.stderr.replace("/", ".")
        checks.expect(
            out.returncode != 0 and all(word in said for word in case["says"]),
            f"{case['set']} must be refused with {case['says']}; exit code {out.returncode}: {said}",
        )
    nothing = run(helm, "template", "cloudach", CHART)
    checks.expect(nothing.returncode != 0 and "registry" in nothing.stderr, f"without values: {nothing.stderr}")
    return len(cases) + 1


def restarts(helm, checks):
    """Which pods a change of values replaces."""
    base = HERE / "values/minimal.yaml"
    workloads = {"Deployment", "StatefulSet"}

    def pods(*words):
        text = run(helm, "template", "cloudach", CHART, "-f", base, *words).stdout
        manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest and manifest["kind"] in workloads]
        return {manifest["metadata"]["name"]: manifest["spec"]["template"] for manifest in manifests}

    before = pods()
    for words, replaced in [
        # Routers take it while they run.
        (["--set", "catalogue.models.other.policy=session"], []),
        (["--set", "router.config.queue.most=7"], ["cloudach-router"]),
        (["--set", "edge.config.limits.requests=7"], ["cloudach-edge"]),
        (["--set", "pools.llama.config.limits.max_requests=7"], ["cloudach-pool-llama"]),
    ]:
        after = pods(*words)
        changed = sorted(name for name in before if before[name] != after.get(name))
        checks.expect(changed == replaced, f"{words}: replaces {changed}, not {replaced}")


def paces(helm, checks):
    """How long a rollout waits between two pods of a pool, beyond that they are ready."""
    for values, pool, setting, wanted in [
        ("minimal", "llama", None, None),
        ("minimal", "llama", "minReadySeconds=30", 30),
        ("managed", "shared", None, None),
        ("managed", "shared", "minReadySeconds=240", 240),
    ]:
        words = ["--set", f"pools.{pool}.{setting}"] if setting else []
        text = run(helm, "template", "cloudach", CHART, "-f", HERE / f"values/{values}.yaml", *words).stdout
        [spec] = [its["spec"] for its in yaml.safe_load_all(text) if its and its["kind"] == "StatefulSet" and its["metadata"]["name"] == f"cloudach-pool-{pool}"]
        has = spec.get("minReadySeconds")
        checks.expect(has == wanted, f"{values} with {setting}: the next pod is replaced after {has} s, not {wanted}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--helm", required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--update", action="store_true")
    asked = parser.parse_args()
    program = asked.bin / "cloudach"
    checks = Checks()
    sets = sorted((HERE / "values").glob("*.yaml"))
    count = foreign = files = 0

    settings.check(ROOT, checks)
    for values in sets:
        text = render(asked.helm, values, checks)
        snapshot(values.stem, without_boards(text), asked.update, checks)
        manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest]
        count += len(manifests)
        foreign += sum(manifest["kind"] in FOREIGN for manifest in manifests)
        whole(values.stem, manifests, checks)
        schemas(values.stem, manifests, checks)
        policies.check(values.stem, manifests, checks)
        if program.exists():
            with tempfile.TemporaryDirectory() as folder:
                files += accepted(values.stem, manifests, program, Path(folder), checks)
    refused = refusals(asked.helm, checks)
    restarts(asked.helm, checks)
    paces(asked.helm, checks)

    for problem in checks.problems:
        print(f"[chart] {problem}")
    print(f"[chart] {len(sets)} sets of values, {count} manifests; {count - foreign} held against the schemas of Kubernetes {' and '.join(VERSIONS)},")
    print(f"[chart] {foreign} of other projects ({', '.join(sorted(FOREIGN))}) only against the snapshots; {refused} wrong sets of values refused")
    if program.exists():
        print(f"[chart] {files} files accepted by `cloudach check`")
    else:
        print(f"[chart] SKIPPED: the files of the services were not checked: there is no {program}")
    print(f"{checks.passed} passed, {len(checks.problems)} failed")
    return 1 if checks.problems else 0


if __name__ == "__main__":
    sys.exit(main())
