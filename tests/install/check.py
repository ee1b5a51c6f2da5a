#!/usr/bin/env python3
"""Checks what docs/install.md, deploy/local/compose.yaml and deploy/systemd say, as far as that goes without a cluster, a GPU or Docker.

    tests/install/check.py

By what is at hand: `cloudach check` (CLOUDACH_BIN, default target/debug), helm (HELM, or what tests/chart/run.sh has fetched), `systemd-analyze verify`.
Run by the Python that tests/chart/run.sh makes, which reads YAML.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(os.environ.get("CLOUDACH_BIN", ROOT / "target/debug")) / "cloudach"
HELM = os.environ.get("HELM") or shutil.which("helm") or ROOT / ".cache/chart/helm"
DEFAULTS = {"settle": 1, "grace": 30, "stop_grace": 10}

passed, problems, skipped = 0, [], []


def expect(holds, problem):
    global passed
    if holds:
        passed += 1
    else:
        problems.append(problem)


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)


def accepted(what, text, kind, folder):
    if not BIN.exists():
        skipped.append(f"{what}: there is no {BIN}")
        return
    path = Path(folder, f"{kind}.yaml")
    path.write_text(text.replace("/etc/cloudach/catalogue/catalogue.yaml", f"{folder}/catalogue.yaml"))
    verdict = run(BIN, "check", "--as", kind, path)
    expect(verdict.returncode == 0, f"{what} is refused: {verdict.stderr}")


def seconds(text):
    return sum(int(n) * {"s": 1, "m": 60, "h": 3600}[unit] for n, unit in re.findall(r"(\d+)([smh])", str(text)))


def compose(folder):
    stack = yaml.safe_load((ROOT / "deploy/local/compose.yaml").read_text())
    files = {name: yaml.safe_load(config["content"]) for name, config in stack["configs"].items()}
    for name in ("catalogue", "edge", "router", "sidecar"):
        accepted(f"compose.yaml: {name}", stack["configs"][name]["content"], name, folder)
    listens = {}
    for name, service in stack["services"].items():
        what = f"compose.yaml: {name}"
        expect(service["read_only"] and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], f"{what} has rights")
        build = service.get("build")
        expect(build or service["user"] == "10001:10001", f"{what} may run as root")
        if build:
            dockerfile = (ROOT / "deploy/local" / build["context"] / build["dockerfile"]).resolve()
            stages = re.findall(r"^FROM \S+ AS (\w+)", dockerfile.read_text(), re.MULTILINE)
            expect(build["target"] in stages, f"{what}: there is no target {build['target']}")
            config = files[build["target"]]
            listens[name] = {int(config[key].rsplit(":", 1)[1]) for key in ("listen", "admin")}
            drain = DEFAULTS | {key: seconds(value) for key, value in config.get("drain", {}).items()}
            stops = drain["settle"] + drain["grace"] + (drain["stop_grace"] if build["target"] == "sidecar" else 0)
            expect(seconds(service["stop_grace_period"]) >= stops + 10, f"{what} is killed before it has stopped")
            mounted = {file["source"] for file in service["configs"]}
            expect(build["target"] in mounted and mounted <= set(files), f"{what} has the files {mounted}")
    listens |= {"engine": {8081}, "valkey": {6379}}
    named = re.findall(r"([a-z]+(?:-\d)?):(\d{4})\b", " ".join(config["content"] for config in stack["configs"].values()))
    expect(len(named) == 6, f"compose.yaml: {named} are named")
    for host, port in named:
        expect(int(port) in listens.get(host, ()), f"compose.yaml: nobody listens at {host}:{port}")
    for service in stack["services"].values():
        expect(set(service.get("depends_on", [])) <= set(stack["services"]), "compose.yaml: what it waits for is not there")
    observe(stack, files)


def observe(stack, files):
    """What stands beside the stack: locked up as it is, told where the services are, and with files that are YAML."""
    more = yaml.safe_load((ROOT / "deploy/local/observe.yaml").read_text())
    tools = {name: service for name, service in more["services"].items() if "image" in service}
    for name, service in tools.items():
        what = f"observe.yaml: {name}"
        locked = service["read_only"] and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
        expect(locked and service["user"] == "10001:10001", f"{what} has rights")
        expect(re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{what} is of no version")
        expect(all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), f"{what} is open to others")
        expect(set(service.get("depends_on", [])) <= set(tools), f"{what} waits for what is not there")
        mounted = {file["source"] for file in service.get("configs", [])}
        expect(mounted <= set(more["configs"]), f"{what} has the files {mounted}")
    traced = set(more["services"]) - set(tools)
    built = {name for name, service in stack["services"].items() if "build" in service}
    expect(traced == built, f"observe.yaml: {built ^ traced} do not trace, or are not there")
    for name in traced & built:
        told = more["services"][name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        expect(told == "http://collector:4317", f"observe.yaml: {name} sends its traces to {told}")
    inside = {name: yaml.safe_load(config["content"]) for name, config in more["configs"].items()}
    expect("0.0.0.0:4317" in str(inside["collector"]), "observe.yaml: nobody takes traces")
    [job] = inside["prometheus"]["scrape_configs"]
    targets = {target for group in job["static_configs"] for target in group["targets"]}
    admins = {f"{name}:{files[stack['services'][name]['build']['target']]['admin'].rsplit(':', 1)[1]}" for name in built}
    expect(targets == admins, f"observe.yaml: metrics are at {admins}, and looked for at {targets}")


def units(folder):
    paths = sorted((ROOT / "deploy/systemd").glob("*.service"))
    for path in paths:
        text = path.read_text()
        for wanted in ("KillMode=mixed", "NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=always", "CapabilityBoundingSet="):
            expect(wanted in text.splitlines(), f"{path.name} lacks {wanted}")
        expect("DynamicUser=yes" in text or "User=cloudach" in text, f"{path.name} runs as root")
        owns = "edge" not in path.name and "router" not in path.name
        stops = seconds(re.search(r"^TimeoutStopSec=(.*)", text, re.MULTILINE)[1])
        expect(stops > DEFAULTS["settle"] + DEFAULTS["grace"] + (DEFAULTS["stop_grace"] if owns else 0), f"{path.name} is killed before it has stopped")
        program = re.search(r"^ExecStart=/usr/local/bin/(\S+)", text, re.MULTILINE)[1]
        manifests = {"cloudach": "deploy/standalone", "cloudach-edge": "edge", "cloudach-router": "router", "cloudach-sidecar": "sidecar"}
        expect(program in manifests, f"{path.name} starts {program}")
    if not shutil.which("systemd-analyze"):
        skipped.append("systemd-analyze verify: it is not here")
        return len(paths)
    for path in paths:
        # The programs are not installed here; everything else is as it is.
        text = re.sub(r"/usr/local/bin/cloudach\S*", shutil.which("true"), path.read_text())
        copy = Path(folder, path.name.replace("@", "@llama"))
        copy.write_text(text)
        verdict = run("systemd-analyze", "verify", "--man=no", copy)
        said = [line for line in verdict.stderr.splitlines() if path.stem.split("@")[0] in line]
        expect(verdict.returncode == 0 and not said, f"{path.name}: {verdict.stderr}")
    return len(paths)


def page(folder):
    text = (ROOT / "docs/install.md").read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    for kind, block in blocks:
        if kind == "yaml":
            accepted("install.md: standalone.yaml", block, "up", folder)
        else:
            shell = run("sh", "-n", input=block)
            expect(shell.returncode == 0, f"install.md: {shell.stderr}")
    values = [block for kind, block in blocks if kind == "sh" and "my-values.yaml" in block and block.startswith("cat")]
    expect(len(values) == 2, f"install.md: values are written by {len(values)} blocks")
    variables = {**os.environ, "REGISTRY": "registry.example.com/cloudach", "CLOUDACH_API_KEY": "sk-a"}
    made = run("sh", "-eu", "-c", "\n".join(values), cwd=folder, env=variables)
    expect(made.returncode == 0, f"install.md: {made.stderr}")
    if Path(HELM).exists():
        out = run(HELM, "template", "cloudach", ROOT / "deploy/chart/cloudach", "--namespace", "llm", "--values", Path(folder, "my-values.yaml"))
        expect(out.returncode == 0, f"install.md: its values are refused: {out.stderr}")
        expect("name: cloudach-pool-llama\n" in out.stdout, "install.md waits for what is not there")
        expect(out.stdout.count("kind: Certificate\n") == 3, "install.md: cert-manager is asked for no certificates")
    else:
        skipped.append("install.md: its values: there is no helm")
    commands = re.findall(r"command: (\[\S*vllm, serve.*?\])", text, re.DOTALL)
    expect(len(commands) == 2, f"install.md starts vLLM {len(commands)} times")
    for command in commands:
        expect({'{"backend":"guidance"}', "--enable-prompt-tokens-details"} <= set(yaml.safe_load(command)), f"install.md: vLLM lacks flags: {command}")
    # What its commands name in the project is there.
    for path in set(re.findall(r"\bdeploy/[\w./-]+", " ".join(block for _, block in blocks))):
        expect((ROOT / path).exists(), f"install.md names {path}")
    for target in set(re.findall(r"^make (\w+)", "\n".join(block for _, block in blocks), re.MULTILINE)):
        expect(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"install.md: make {target}")
    return len(blocks)


def main():
    with tempfile.TemporaryDirectory() as folder:
        compose(folder)
        unit_files = units(folder)
        blocks = page(folder)
    for what in skipped:
        print(f"[install] SKIPPED: {what}")
    for problem in problems:
        print(f"[install] {problem}")
    print(f"[install] compose.yaml, {unit_files} units, {blocks} blocks of commands and settings")
    print(f"{passed} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
