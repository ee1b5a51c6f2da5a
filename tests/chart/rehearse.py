"""A rollout of what the chart renders, with real processes in the place of pods, and this script in the place of Kubernetes: it starts each pod's
program with the files and arguments of its ConfigMap, asks the probes that are rendered, replaces pods as Deployments and StatefulSets do, and kills what
is not gone within `terminationGracePeriodSeconds`. Clients ask all the while; no request may fail, and no stream may break or have another text.

    tests/chart/rehearse.py --helm HELM --bin target/debug

Each pod has an address of its own in 127.0.0.0/8 (Linux), and a folder as its file system. Ports are the rendered ones.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CLIENTS = 16
# How long it takes until everybody has noticed that a pod is leaving.
NOTICED = 1.0
BODY = json.dumps({"model": "fake", "stream": True, "messages": [{"role": "user", "content": "[[tokens=40]][[delay=50ms]]"}]})


class Pod:
    """One process, started as its pod would be."""

    def __init__(self, cluster, name, address, template):
        self.name, self.address = name, address
        spec = template["spec"]
        [container] = spec["containers"]
        self.grace = spec["terminationGracePeriodSeconds"]
        self.ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        self.liveness, self.readiness = container["livenessProbe"], container["readinessProbe"]
        # When the kubelet asked last whether it is ready, and how often in a row it was not since it was; None before it first was.
        self.asked, self.failures = 0.0, None
        self.asking = threading.Lock()
        folder = cluster.folder / name
        (folder / "run").mkdir(parents=True, exist_ok=True)
        for volume in spec["volumes"]:
            if "secret" in volume:
                [path] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
                shutil.copytree(cluster.secrets[volume["secret"]["secretName"]], folder / path.lstrip("/"), dirs_exist_ok=True)
            if "configMap" in volume:
                [path] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
                for key, text in cluster.config_maps[volume["configMap"]["name"]].items():
                    file = folder / path.lstrip("/") / key
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(self.placed(text, folder, cluster))
        arguments = [word.replace("$(POD_NAME)", name).replace("/etc/cloudach", f"{folder}/etc/cloudach") for word in container["args"]]
        self.log = (cluster.folder / f"{name}.log").open("a")
        environment = {**os.environ, "PATH": f"{cluster.bin}:{os.environ['PATH']}", "CLOUDACH_LOG": "info"}
        self.process = subprocess.Popen([cluster.bin / f"cloudach-{container['name']}", *arguments], stderr=self.log, env=environment)
        self.leaving = False

    def placed(self, text, folder, cluster):
        """The file, with the addresses and folders of this pod."""
        text = text.replace("0.0.0.0:", f"{self.address}:").replace("/etc/cloudach", f"{folder}/etc/cloudach")
        for name, address in cluster.names.items():
            text = text.replace(f"{name}:", f"{address}:")
        return text.replace("/run/cloudach", f"{folder}/run")

    def asks(self, probe):
        its = probe["httpGet"]
        try:
            connection = http.client.HTTPConnection(self.address, self.ports[its["port"]], timeout=probe["timeoutSeconds"])
            connection.request("GET", its["path"])
            return connection.getresponse().status == 200
        except OSError:
            return False

    def alive(self):
        return self.asks(self.liveness)

    def ready(self):
        return self.asks(self.readiness)

    def counts_as_ready(self):
        """As the kubelet has it, which asks now and then, and overlooks single failures."""
        with self.asking:
            if time.monotonic() - self.asked >= self.readiness["periodSeconds"]:
                self.asked = time.monotonic()
                if self.ready():
                    self.failures = 0
                elif self.failures is not None:
                    self.failures += 1
            return self.failures is not None and self.failures < self.readiness["failureThreshold"]

    def wait_ready(self):
        until = time.monotonic() + 60
        while not self.counts_as_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"[rehearsal] {self.name} did not become ready; its log is {self.log.name}")
            time.sleep(0.2)

    def ends_within(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, problems):
        """As the kubelet ends a pod."""
        began = time.monotonic()
        self.leaving = True
        self.process.send_signal(signal.SIGTERM)
        # It says so soon, and stays alive: what is not, and does not end either, would be restarted in the middle of its streams.
        until = began + 10
        while self.process.poll() is None and self.ready() and time.monotonic() < until:
            time.sleep(0.1)
        if time.monotonic() >= until:
            problems.append(f"{self.name} is ready although it is to stop")
        if not self.alive() and not self.ends_within(5):
            problems.append(f"{self.name} is not alive, and does not end")
        try:
            code = self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
            problems.append(f"{self.name} was killed after {self.grace} s")
        if code != 0:
            problems.append(f"{self.name} ended with {code}")
        return time.monotonic() - began


def certificates(folder):
    """What cert-manager would make: a CA, and a Secret for each service, by its name."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=rehearsal", "-days", "1")
    secrets = {}
    for secret, name in [("edge-tls", "cloudach-edge"), ("router-tls", "cloudach-router"), ("pool-tls", "cloudach-sidecar")]:
        place = secrets[secret] = folder / secret
        place.mkdir()
        (folder / "names").write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", *key, "-keyout", f"{secret}/tls.key", "-out", "request", "-subj", "/")
        openssl("x509", "-req", "-in", "request", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names", "-out", f"{secret}/tls.crt")
        shutil.copy(folder / "ca.crt", place)
    return secrets


class Cluster:
    def __init__(self, helm, binaries, folder):
        self.bin, self.folder = binaries, folder
        command = [helm, "template", "cloudach", ROOT / "deploy/chart/cloudach", "-f", ROOT / "tests/chart/rehearsal.yaml"]
        self.secrets = {}
        if shutil.which("openssl"):
            (folder / "certificates").mkdir()
            self.secrets = certificates(folder / "certificates")
        else:
            print("[rehearsal] WITHOUT TLS between the services: there is no openssl", flush=True)
            command += ["--set", "mtls.enabled=false"]
        manifests = [its for its in yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout) if its]
        self.config_maps = {its["metadata"]["name"]: its["data"] for its in manifests if its["kind"] == "ConfigMap"}
        self.workloads = {its["metadata"]["name"]: its for its in manifests if its["kind"] in {"Deployment", "StatefulSet"}}
        self.names, self.pods, self.born = {}, {}, 0
        for group, (name, workload) in enumerate(self.workloads.items(), 1):
            if workload["kind"] == "StatefulSet":
                for n in range(workload["spec"]["replicas"]):
                    self.names[f"{name}-{n}.{workload['spec']['serviceName']}"] = f"127.77.{group}.{n + 1}"

    def start(self, name, workload):
        address = self.names.get(f"{name}.{workload['spec'].get('serviceName')}")
        if address is None:
            self.born += 1
            address = f"127.77.100.{self.born}"
        pod = Pod(self, name, address, workload["spec"]["template"])
        self.pods[name] = pod
        return pod

    def install(self):
        for name, workload in self.workloads.items():
            for n in range(workload["spec"]["replicas"]):
                self.start(f"{name}-{n}", workload)
        for pod in self.pods.values():
            pod.wait_ready()

    def roll(self, problems):
        for name, workload in self.workloads.items():
            count = workload["spec"]["replicas"]
            for n in reversed(range(count)):
                old = self.pods[f"{name}-{n}"]
                if workload["kind"] == "Deployment":
                    # maxSurge 1, maxUnavailable 0: the new one is ready first.
                    self.start(f"{name}-{n + count}", workload).wait_ready()
                    took = old.end(problems)
                    del self.pods[old.name]
                else:
                    took = old.end(problems)
                    self.start(old.name, workload).wait_ready()
                    time.sleep(workload["spec"].get("minReadySeconds", 0))
                print(f"[rehearsal] replaced {old.name}, which took {took:.1f} s of {old.grace} s to stop", flush=True)


class Endpoints:
    """The pods behind the edges' Service, as late as everybody is in noticing."""

    def __init__(self, cluster):
        self.cluster, self.turn = cluster, 0
        self.seen = {}
        self.lock = threading.Lock()

    def refresh(self):
        pods = list(self.cluster.pods.values())
        now = time.monotonic()
        with self.lock:
            for pod in pods:
                if pod.name.startswith("cloudach-edge"):
                    good = not pod.leaving and pod.counts_as_ready()
                    if good:
                        self.seen[pod.name] = (pod, now)
            self.seen = {name: (pod, at) for name, (pod, at) in self.seen.items() if now - at < NOTICED}

    def pick(self):
        with self.lock:
            self.turn += 1
            pods = [pod for pod, _ in self.seen.values()]
            return pods[self.turn % len(pods)] if pods else None


def ask(pod):
    """The text of one stream."""
    connection = http.client.HTTPConnection(pod.address, pod.ports["http"], timeout=30)
    headers = {"Authorization": "Bearer sk-local-trial", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", BODY, headers)
    response = connection.getresponse()
    if response.status != 200:
        raise ValueError(f"{response.status} {response.read()[:300]}")
    text, finish, done = "", None, False
    for line in response:
        if line.startswith(b"data: [DONE]"):
            done = True
        elif line.startswith(b"data: "):
            event = json.loads(line[6:])
            if "error" in event:
                raise ValueError(str(event))
            for choice in event["choices"]:
                text += choice["delta"].get("content") or ""
                finish = choice["finish_reason"] or finish
    if not done or finish is None:
        raise ValueError(f"a stream ended early, after {len(text)} characters")
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--helm", required=True)
    parser.add_argument("--bin", type=Path, required=True)
    asked = parser.parse_args()
    problems, texts, lock = [], [], threading.Lock()
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="cloudach-") as folder:
        cluster = Cluster(asked.helm, asked.bin.resolve(), Path(folder))
        try:
            cluster.install()
            endpoints = Endpoints(cluster)
            endpoints.refresh()

            def watch():
                while not stop.is_set():
                    endpoints.refresh()
                    time.sleep(0.2)

            def client():
                while not stop.is_set():
                    pod = endpoints.pick()
                    try:
                        if pod is None:
                            raise ValueError("no edge is ready")
                        text = ask(pod)
                        with lock:
                            texts.append(text)
                    except (OSError, ValueError, http.client.HTTPException) as error:
                        with lock:
                            problems.append(f"{pod and pod.name}: {error!r}")
                        time.sleep(0.2)

            threads = [threading.Thread(target=work) for work in [watch] + [client] * CLIENTS]
            for thread in threads:
                thread.start()
            try:
                cluster.roll(problems)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
        finally:
            for pod in cluster.pods.values():
                pod.process.terminate()
            for pod in cluster.pods.values():
                pod.process.wait()
            if problems:
                keep = ROOT / ".run/rehearsal"
                keep.mkdir(parents=True, exist_ok=True)
                for log in Path(folder).glob("*.log"):
                    (keep / log.name).write_bytes(log.read_bytes())
    if len(set(texts)) > 1:
        problems.append(f"{len(set(texts))} different texts")
    for problem in problems[:20]:
        print(f"[rehearsal] {problem}")
    print(f"[rehearsal] {len(texts)} streams while every pod was replaced{'; logs are in .run/rehearsal' if problems else ''}")
    print(f"{len(texts)} passed, {len(problems)} failed")
    return 1 if problems or not texts else 0


if __name__ == "__main__":
    sys.exit(main())
