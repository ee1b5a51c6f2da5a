#!/bin/sh
# Serves one model with the vLLM that setup-vllm.sh prepared, on the CPU. It becomes vLLM, so signals reach it.
#
#   vllm.sh MODEL NAME --port 8100 [more arguments of `vllm serve`]
#   vllm.sh MODEL NAME --uds /run/engine.sock [...]
#
# MODEL is a directory, or `chat-model` / `embedding-model` for the two that setup-vllm.sh put into the cache folder.
# NAME is what requests call it. Expect one to five minutes until it answers.
set -eu

dir=${CLOUDACH_CACHE:-$HOME/.cache/cloudach}/vllm
model=$1 name=$2
shift 2
case $model in chat-model | embedding-model) model=$dir/$model ;; esac
if [ ! -e "$dir/venv/bin/vllm" ] || [ ! -e "$model/config.json" ]; then
    echo "vllm.sh: vLLM or $model is missing: run setup-vllm.sh first" >&2
    exit 1
fi

# modules.json marks a sentence-transformers model: those say themselves how long a text may be.
if [ -e "$model/modules.json" ]; then
    set -- --dtype float32 "$@"
else
    # A prompt is read in steps of at most 32 tokens, up to half a second: a request is only called off between two.
    # One back end for structured outputs, and the one that refuses a schema it cannot enforce: left to choose, vLLM takes
    # whatever the first request needs and fails later ones that need another.
    set -- --dtype bfloat16 --max-model-len 2048 --block-size 32 --max-num-batched-tokens 32 \
        --enable-prompt-tokens-details --structured-outputs-config '{"backend":"guidance"}' "$@"
fi

# Nothing is fetched or reported over the network.
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
# GiB; tens of thousands of tokens for a small model.
export VLLM_CPU_KVCACHE_SPACE=1
# Compiling takes longer than it saves here, needs a C++ compiler, and the first request for logprobs would wait for it.
export TORCH_COMPILE_DISABLE=1
# Three processes import the same thousands of files one after the other: let Python keep what it compiled.
unset PYTHONDONTWRITEBYTECODE
exec "$dir/venv/bin/vllm" serve "$model" --served-model-name "$name" --host 127.0.0.1 \
    --max-num-seqs 16 --enforce-eager "$@"
