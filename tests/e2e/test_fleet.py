"""A fleet of two real vLLMs whose model routers place: replicas that sleep and wake, an adapter on each, and conversations
that find their prefix again, as vLLM itself counts it.

One gateway and two engines for the whole file, on ports of their own: run it when no others run, on a small machine.
"""

import array
import concurrent.futures
import json
import os
import pathlib
import random
import struct
import subprocess
import time

import httpx
import pytest

if os.environ["CLOUDACH_ENGINE"] != "vllm":
    pytest.skip("adapters that are loaded, sleep and vLLM's own counters: these are tried with vLLM", allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT, ROUTER, ENGINES = 28580, 28591, (28581, 28582)
MODEL, ADAPTER, KEY = "smollm2-135m", "smollm2-odd", "sk-fleet"
READY_WITHIN = 600
SLEEP_AFTER = 40
# Tokens: a prefix is found again by whole ones.
BLOCK = 32


def make_adapter(folder, model):
    """A LoRA adapter as PEFT writes it: of chance, and strong enough to be heard."""
    config = json.loads((model / "config.json").read_text())
    hidden, rank = config["hidden_size"], 8
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    widths = {"q_proj": config["num_attention_heads"] * head, "v_proj": config["num_key_value_heads"] * head}
    draw, tensors = random.Random(7), {}
    for layer in range(config["num_hidden_layers"]):
        for module, width in widths.items():
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for part, shape in (("lora_A", (rank, hidden)), ("lora_B", (width, rank))):
                tensors[f"{name}.{part}.weight"] = shape, array.array("f", (draw.gauss(0, 0.05) for _ in range(shape[0] * shape[1])))
    header, at = {}, 0
    for name, (shape, values) in tensors.items():
        size = len(values) * values.itemsize
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    with (folder / "adapter_model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _, values in tensors.values():
            file.write(values.tobytes())
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model),
        "r": rank,
        "lora_alpha": 4 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(widths),
    }
    (folder / "adapter_config.json").write_text(json.dumps(described))


class Fleet:
    def __init__(self, folder):
        cache = pathlib.Path(os.environ.get("CLOUDACH_CACHE") or pathlib.Path.home() / ".cache/cloudach") / "vllm"
        adapter = folder / "adapter"
        adapter.mkdir()
        make_adapter(adapter, cache / "chat-model")
        # In float32 the two engines, and a prefix that is found again, say the same.
        arguments = ["--dtype", "float32", "--enable-lora", "--max-lora-rank", "8"]
        command = ["deploy/local/engines/vllm.sh", "{source}", "{model}"]
        placement = {
            "source": str(cache / "chat-model"),
            "gpus": 0,
            "min": 1,
            "max": 2,
            "requests_per_replica": 1,
            "sleep_after": f"{SLEEP_AFTER}s",
            "adapters": {ADAPTER: str(adapter)},
        }
        config = {
            "listen": f"127.0.0.1:{PORT}",
            "router_admin": f"127.0.0.1:{ROUTER}",
            "catalogue": {"models": {MODEL: {"placement": placement}}},
            "engines": [
                {
                    "managed": {"sources": [f"{cache}/", f"{folder}/"], "sleeps": True},
                    "engine": {
                        "dialect": "vllm",
                        "url": f"http://127.0.0.1:{port}",
                        "command": [*command, "--port", str(port), *arguments],
                        "env": {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"},
                    },
                }
                for port in ENGINES
            ],
            "drain": {"settle": "0s", "grace": "10s"},
        }
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(config))
        self.log = (folder / "gateway.log").open("w+")
        self.process = subprocess.Popen(
            [os.environ.get("CLOUDACH_BIN", "target/debug") + "/cloudach", "up", "--config", path],
            cwd=ROOT,
            env={**os.environ, "CLOUDACH_API_KEY": KEY},
            stdout=self.log,
            stderr=self.log,
        )
        headers = {"authorization": f"Bearer {KEY}"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{PORT}", headers=headers, timeout=120)

    def replicas(self):
        try:
            return httpx.get(f"http://127.0.0.1:{ROUTER}/fleet", timeout=10).json()["replicas"]
        except httpx.TransportError:
            return []

    def phases(self):
        return [replica["phase"] for replica in self.replicas()]

    def wait(self, wanted, seconds, meanwhile=lambda: None):
        until = time.monotonic() + seconds
        while not wanted():
            assert self.process.poll() is None, "the gateway has ended"
            assert time.monotonic() < until, self.replicas()
            meanwhile()
            time.sleep(0.5)

    def ask(self, messages, model=MODEL, max_tokens=24):
        body = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
        answer = self.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def both_work(self):
        """Two requests at once are more than one replica is to have."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda count: self.ask([{"role": "user", "content": f"Count to {count}."}], max_tokens=40), (20, 30)))

    def both_ready(self):
        self.wait(lambda: self.phases() == ["ready", "ready"], READY_WITHIN, self.both_work)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.seek(0)
        said = self.log.read()
        self.log.close()
        assert "panicked" not in said


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        fleet.wait(lambda: "ready" in fleet.phases(), READY_WITHIN)
        fleet.both_ready()
        yield fleet
    finally:
        fleet.stop()


def counted(name):
    """A counter of vLLM's, of both engines."""
    pages = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text for port in ENGINES]
    lines = [line for page in pages for line in page.splitlines() if line.startswith(name + "{")]
    assert len(lines) == len(ENGINES), f"{name} is not there once for each engine"
    return sum(float(line.rpartition(" ")[2]) for line in lines)


QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.mark.timeout(900)
def test_an_adapter_is_on_every_replica(fleet):
    loaded = lambda: [replica["adapters"] for replica in fleet.replicas()] == [[ADAPTER], [ADAPTER]]  # noqa: E731
    fleet.wait(loaded, 60)
    plain = fleet.ask(QUESTION)["choices"][0]["message"]["content"]
    assert "Paris" in plain
    odd = fleet.ask(QUESTION, ADAPTER)
    assert odd["model"] == ADAPTER
    odd = odd["choices"][0]["message"]["content"]
    assert odd != plain
    # Whichever replica answers: of two at once each has one.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: fleet.ask(QUESTION, ADAPTER)["choices"][0]["message"]["content"], range(4)))
    assert answers == [odd] * 4


def converse(fleet, number):
    """A conversation of four turns; gives how many tokens of its prompts could have been found again."""
    rules = " ".join(f"Rule {rule} of house {number}: say {number * 31 + rule} politely." for rule in range(25))
    messages, could, before = [{"role": "system", "content": rules}], 0, 0
    for turn in range(4):
        messages.append({"role": "user", "content": f"What does rule {turn} say?"})
        answer = fleet.ask(messages)
        could += before // BLOCK * BLOCK
        # The answer may be put in other words of the template when it is rendered again: only the prompt counts.
        before = answer["usage"]["prompt_tokens"]
        messages.append(answer["choices"][0]["message"])
    return could


@pytest.mark.timeout(900)
def test_conversations_find_their_prefix_again(fleet):
    fleet.both_ready()
    hits, queries = counted("vllm:prefix_cache_hits_total"), counted("vllm:prefix_cache_queries_total")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        could = sum(pool.map(lambda number: converse(fleet, number), range(1, 7)))
    hits, queries = counted("vllm:prefix_cache_hits_total") - hits, counted("vllm:prefix_cache_queries_total") - queries
    print(f"vLLM: {hits:.0f} of {queries:.0f} tokens of prompts were in its cache ({hits / queries:.0%}), {could} could have been")
    assert could > queries / 2
    assert hits >= 0.9 * could


@pytest.mark.timeout(900)
def test_a_replica_falls_asleep_and_is_woken(fleet):
    fleet.both_ready()
    undisturbed = fleet.ask(QUESTION)["choices"][0]["message"]["content"]
    asleep = lambda: sorted(fleet.phases()) == ["ready", "sleeping"]  # noqa: E731
    fleet.wait(asleep, SLEEP_AFTER + 60)
    says = [httpx.get(f"http://127.0.0.1:{port}/is_sleeping", timeout=10).json()["is_sleeping"] for port in ENGINES]
    assert sorted(says) == [False, True], "what the fleet says is what vLLM says"
    fleet.both_ready()
    says = [httpx.get(f"http://127.0.0.1:{port}/is_sleeping", timeout=10).json()["is_sleeping"] for port in ENGINES]
    assert says == [False, False]
    # What has slept answers as before, with its adapter.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: fleet.ask(QUESTION)["choices"][0]["message"]["content"], range(4)))
    assert answers == [undisturbed] * 4
    fleet.wait(lambda: [replica["adapters"] for replica in fleet.replicas()] == [[ADAPTER], [ADAPTER]], 60)
