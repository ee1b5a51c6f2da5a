"""A gateway of real processes with a scripted engine, some load, and the real Prometheus that reads it: every expression of the
boards is asked of it, and is to return something, unless it is about what does not happen here."""

import contextlib
import hashlib
import itertools
import json
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boards
import named

# Metrics that have no series here, and why.
QUIET = {
    r"cloudach_sidecar_gpu_(?!xids).*": "there is no GPU",
    r"cloudach_router_placement_commands.*": "nothing is placed",
    r"cloudach_router_model_replicas_wanted": "nothing is placed",
    r"cloudach_edge_fallbacks_total": "there is no route",
    r"cloudach_edge_mirrored_total": "there is no route",
    r"cloudach_edge_batch_lines_total": "there is no batch",
    r"cloudach_edge_idempotency_total": "no request has a key",
    r"cloudach_edge_issuer.*|cloudach_edge_tokens_.*": "there is no issuer",
    r"cloudach_edge_store_call_duration_seconds": "there is no Redis",
    r"cloudach_router_hedges_total": "nothing is hedged",
    r"cloudach_.*_(certificate_expires_timestamp_seconds|tls_refused_total)": "there is no TLS",
    r"ALERTS": "nothing fires yet",
}
READY_WITHIN = 30
LOAD_FOR = 10
LANES = 4
# Of each 20 requests, the one that asks for the model whose replica is lost.
LEAVING = 3
ANSWERED_WITHIN = 20
KEYS = {"acme": {}, "globex": {"requests_per_minute": 2}}


def filled(expression):
    """An expression as Grafana asks it, with everything chosen."""
    expression = expression.replace("$__rate_interval", "10s").replace("$__range", "1m")
    return re.sub(r"\$\{?(\w+)\}?", ".+", expression)


def free_ports(number):
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def get(url, body=None, key=None):
    """Status and body."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer sk-{key}"} if key else {})}
    request = urllib.request.Request(url, data=json.dumps(body).encode() if body else None, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


class Trial:
    """Processes and where they are."""

    def __init__(self, folder, bin_folder, prometheus, alerts):
        self.folder, self.bin, self.processes = Path(folder), bin_folder, {}
        names = ("engine", "sidecar", "sidecar_admin", "leaving", "leaving_admin", "router", "router_admin", "edge", "edge_admin", "prometheus")
        self.at = dict(zip(names, (f"127.0.0.1:{port}" for port in free_ports(len(names)))))
        at = self.at
        key = lambda name, limits: {
            "name": name, "tenant": name, "sha256": hashlib.sha256(f"sk-{name}".encode()).hexdigest(), "rate_limits": limits,
        }  # fmt: skip
        self.start("fake-engine", "--listen", at["engine"], "--first-token-delay", "20ms", "--inter-token-delay", "10ms")
        for name, model in (("sidecar", "fake-model"), ("leaving", "nobodys")):
            self.service("sidecar", {
                "listen": at[name], "admin": at[f"{name}_admin"], "routers": [at["router"]], "model": model,
                "engine": {"dialect": "vllm", "url": f"http://{at['engine']}"},
            }, name)  # fmt: skip
        catalogue = self.folder / "catalogue.yaml"
        catalogue.write_text(json.dumps({"models": {"fake-model": {"prices": {"prompt": 1, "completion": 2}}, "nobodys": {}}}))
        self.service("router", {"listen": at["router"], "admin": at["router_admin"], "catalogue": str(catalogue)})
        self.service("edge", {
            "listen": at["edge"], "admin": at["edge_admin"], "routers": [at["router"]],
            "keys": [key(name, limits) for name, limits in KEYS.items()],
        })  # fmt: skip
        config = self.folder / "prometheus.yaml"
        targets = [at["edge_admin"], at["router_admin"], at["sidecar_admin"]]
        config.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(alerts.resolve())],
            "scrape_configs": [{"job_name": "cloudach", "static_configs": [{"targets": targets}]}],
        }))  # fmt: skip
        self.start(
            prometheus, f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={at['prometheus']}", "--log.level=warn",
        )  # fmt: skip

    def start(self, program, *arguments, name=None):
        path = program if isinstance(program, Path) else self.bin / program
        name = name or path.name
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen([path.resolve(), *arguments], stdout=log, stderr=log, cwd=self.folder)

    def service(self, kind, config, name=None):
        file = self.folder / f"{name or kind}.yaml"
        file.write_text(json.dumps(config))
        self.start(f"cloudach-{kind}", "--config", str(file), name=name or kind)

    def wait_until_ready(self):
        until = time.monotonic() + READY_WITHIN
        places = [f"{name}_admin" for name in ("edge", "router", "sidecar", "leaving")]
        urls = [f"http://{self.at[place]}/readyz" for place in places] + [f"http://{self.at['prometheus']}/-/ready"]
        # The edge knows what it has served, also when nobody serves it any more.
        while any(get(url)[0] != 200 for url in urls) or self.chat(LEAVING) != 200:
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > until:
                raise RuntimeError(f"{ended or 'something'} did not get ready:\n{self.logs()}")
            time.sleep(0.1)

    def lose_a_replica(self):
        """The only one of its model."""
        process = self.processes.pop("leaving")
        process.kill()
        process.wait()

    def chat(self, number):
        body = {"model": "fake-model", "messages": [{"role": "user", "content": f"[[tokens=20]] {number}"}], "stream": number % 2 == 0}
        kind = number % 20
        if kind == LEAVING:
            body["model"] = "nobodys"
        if kind == 5:
            body["max_tokens"] = "many"
        if kind == 6:
            # The engine fails it.
            body["messages"][0]["content"] = "[[fault:error_after=0]]"
        key = {7: "globex", 8: "nobody"}.get(kind, "acme")
        return get(f"http://{self.at['edge']}/v1/chat/completions", body, key)[0]

    @contextlib.contextmanager
    def load(self):
        """Requests of all kinds, one after the other in a few lanes, for as long as this is open."""
        over, statuses = threading.Event(), []

        def lane(first):
            for number in itertools.count(first, LANES):
                if over.is_set():
                    return
                statuses.append(self.chat(number))

        with ThreadPoolExecutor(LANES) as lanes:
            running = [lanes.submit(lane, first) for first in range(LANES)]
            try:
                yield statuses
            finally:
                over.set()
        for one in running:
            one.result()

    def ask(self, path, **asked):
        status, body = get(f"http://{self.at['prometheus']}/api/v1/{path}?{urllib.parse.urlencode(asked)}")
        answer = json.loads(body) if status in (200, 400, 422) else {"status": "error", "error": body.decode()}
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    def values(self, expression):
        """What comes of an expression now."""
        return [one["value"][1] for one in self.ask("query", query=expression)["result"]]

    def logs(self):
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def stop(self):
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def problems(prometheus, bin_folder, metrics, alerts):
    """Tries every expression."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(folder, bin_folder, prometheus, alerts)
        try:
            trial.wait_until_ready()
            trial.lose_a_replica()
            with trial.load() as statuses:
                time.sleep(LOAD_FOR)
                found = list(seen(trial, metrics)) + list(tried(trial))
            print(f"[observe] {len(statuses)} requests: " + ", ".join(f"{statuses.count(s)} x {s}" for s in sorted(set(statuses))))
            rules = [rule for group in trial.ask("rules")["groups"] for rule in group["rules"]]
            found += [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]
            fired = sorted({rule["name"] for rule in rules if rule["state"] != "inactive"})
            print(f"[observe] Prometheus watches {len(rules)} alerts; pending or firing: {', '.join(fired) or 'none'}")
            # The catalogue has a model that nobody serves.
            if "CloudachNoReplicaReady" not in fired:
                found.append("CloudachNoReplicaReady does not see the model that nobody serves")
            if found:
                found.append(trial.logs())
            return found
        finally:
            trial.stop()


def is_quiet(name):
    return any(re.fullmatch(pattern, name) for pattern in QUIET)


def seen(trial, metrics):
    """Whether Prometheus has series of all metrics but those that are quiet here, and no others."""
    names = set(trial.ask("label/__name__/values"))
    for name, (kind, _) in metrics.items():
        is_there = (f"{name}_bucket" if kind == "histogram" else name) in names
        if not is_there and not is_quiet(name):
            yield f"{name} has no series, though everything happened that it is about"
        if is_there and is_quiet(name):
            yield f"{name} has series, and is said to have none here"
    for name in names:
        if name.startswith("cloudach_") and named.lookup(name, metrics)[1] is None:
            yield f"{name} is not in docs/metrics.md"


def tried(trial):
    """Asks every expression."""
    until, counted = time.monotonic() + ANSWERED_WITHIN, 0
    for file, board in boards.boards().items():
        for title, expression, _ in boards.expressions(board):
            quiet = any(is_quiet(name.removesuffix("_bucket")) for name, _ in named.series(expression))
            try:
                values = trial.values(filled(expression))
                while not values and not quiet and time.monotonic() < until:
                    time.sleep(0.5)
                    values = trial.values(filled(expression))
            except ValueError as error:
                yield f"{file}: {title}: {error}: {filled(expression)}"
                continue
            counted += bool(values)
            if not values and not quiet:
                yield f"{file}: {title}: nothing comes of {filled(expression)}"
            elif values and all(value == "NaN" for value in values):
                yield f"{file}: {title}: only NaN comes of {filled(expression)}"
    print(f"[observe] {counted} expressions of boards returned figures")
