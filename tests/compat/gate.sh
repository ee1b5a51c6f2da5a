#!/bin/sh
# The suite's own tests, then the gateway held against the OpenAI API: with scripted engines, with a small real model, and one
# against the other. `make test` runs this. Ports 29410 to 29425.
#
# The gateway and the scripted engine must be built (CLOUDACH_BIN, default target/debug) and llama.cpp installed
# (deploy/local/engines/setup-llama-cpp.sh).
set -eu

cd "$(dirname "$0")/../.."
bin=${CLOUDACH_BIN:-target/debug}
run=.run/compat
suite=tests/compat/run.sh
fake="--base-url http://127.0.0.1:29410/v1 --key sk-compat-gate --model fake-chat --embedding-model fake-embedding"
real="--base-url http://127.0.0.1:29420/v1 --key sk-compat-gate --model smollm2-135m --embedding-model smollm2-135m-embedding"
# A small machine generates some tens of tokens per second: short answers have every shape that long ones have.
quick="--max-tokens 6 --cap-tokens 6 --concurrency 4"
failed=
mkdir -p "$run"

say() { printf '[compat gate] %s\n' "$*"; }

pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || true; done; for pid in $pids; do wait "$pid" 2>/dev/null || true; done' EXIT
trap 'exit 1' INT TERM

# NAME COMMAND...: in the background, its words in a file that no earlier run has written to.
begin() {
    name=$1
    shift
    : >"$run/$name.out"
    "$@" >"$run/$name.out" 2>"$run/$name.log" &
    pids="$! $pids"
    eval "pid_$name=$!"
}

ready() {
    seconds=0
    until grep -q 'base URL' "$run/$1.out"; do
        eval "pid=\$pid_$1"
        if ! kill -0 "$pid" 2>/dev/null || [ $seconds -ge 60 ]; then
            say "the gateway $1 did not become ready; the end of its log:"
            tail -n 20 "$run/$1.log"
            exit 1
        fi
        seconds=$((seconds + 1))
        sleep 1
    done
}

# NAME ARGUMENTS...: what diverged and the score; all of it is in the file. Progress goes to the terminal.
hold() {
    name=$1
    shift
    if "$suite" --json "$run/$name.json" "$@" >"$run/$name.txt"; then
        sed -n '/^allow.yaml:/p; /^compat: /p' "$run/$name.txt"
    else
        cat "$run/$name.txt"
        failed="$failed $name"
    fi
}

say "the suite's own tests"
"$suite" --self-test -s

CLOUDACH_API_KEY=sk-compat-gate
export CLOUDACH_API_KEY
begin fake_chat "$bin/fake-engine" --listen 127.0.0.1:29414 --model fake-chat --tokens 12
begin fake_embedding "$bin/fake-engine" --listen 127.0.0.1:29415 --model fake-embedding --embedding-dim 32
begin fake "$bin/cloudach" up --config tests/compat/gate/fake.yaml
begin real "$bin/cloudach" up --config tests/compat/gate/llama_cpp.yaml
ready fake
ready real

# shellcheck disable=SC2086 # the arguments are words
{
    say "the gateway with scripted engines, against OpenAI"
    hold against-openai-fake $fake --allow tests/compat/gate/allow_fake.yaml
    say "the gateway with a real model, against OpenAI"
    hold against-openai-real $real $quick
    say "the one live against the other"
    hold live $fake $quick --no-recordings --against http://127.0.0.1:29420/v1 \
        --against-model smollm2-135m --against-embedding-model smollm2-135m-embedding
}

if grep -q panicked "$run/fake.log" "$run/real.log"; then
    say "the gateway panicked:"
    grep panicked "$run/fake.log" "$run/real.log"
    exit 1
fi
if [ -n "$failed" ]; then
    say "FAILED:$failed (all of it: $run/*.txt)"
    exit 1
fi
say "passed"
