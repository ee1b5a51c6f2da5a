#!/bin/sh
# Starts the gateway in front of a real engine and runs the end-to-end tests through the official client.
#
#   tests/e2e/run.sh llama_cpp | vllm
#
# The engine must be installed (deploy/local/engines/setup-*.sh) and the gateway built (CLOUDACH_BIN, default target/debug).
set -eu

engine=$1
cd "$(dirname "$0")/../.."
bin=${CLOUDACH_BIN:-target/debug}
run=.run/e2e-$engine
mkdir -p "$run"

say() { printf '[e2e %s] %s\n' "$engine" "$*"; }

# The tests' own Python environment; what is installed is noted inside it.
venv=.cache/e2e
if ! cmp -s tests/e2e/requirements.txt "$venv/installed.txt"; then
    say "installing the test client ..."
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/e2e/requirements.txt
    cp tests/e2e/requirements.txt "$venv/installed.txt"
fi

# An earlier run's words must not be taken for this one's.
rm -f "$run/gateway.out" "$run/gateway.log"
: >"$run/gateway.out"
CLOUDACH_API_KEY=sk-end-to-end
export CLOUDACH_API_KEY
"$bin/cloudach" up --config "tests/e2e/$engine.yaml" >>"$run/gateway.out" 2>"$run/gateway.log" &
gateway=$!
trap 'kill $gateway 2>/dev/null || true; wait $gateway 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM

seconds=0
until grep -q 'base URL' "$run/gateway.out"; do
    if ! kill -0 $gateway 2>/dev/null || [ $seconds -ge 900 ]; then
        say "the gateway did not become ready; the end of its log:"
        tail -n 30 "$run/gateway.log"
        exit 1
    fi
    [ $((seconds % 15)) -ne 14 ] || say "waiting for the engines ($seconds s): $(grep '^waiting for' "$run/gateway.log" | tail -n 1)"
    seconds=$((seconds + 1))
    sleep 1
done
say "engines ready after $seconds s"

case $engine in
llama_cpp) embedding=smollm2-135m-embedding ;;
vllm) embedding=all-minilm-l6-v2 ;;
esac
# With vLLM these two start their own gateway and engines, and four vLLMs at once are too many for a small machine.
alone=
for file in tests/e2e/test_resume.py tests/e2e/test_fleet.py; do
    [ "$engine" != vllm ] || alone="$alone --ignore=$file"
done
export CLOUDACH_BASE_URL CLOUDACH_ADMIN_URL CLOUDACH_MODEL CLOUDACH_EMBEDDING_MODEL CLOUDACH_ENGINE CLOUDACH_ENGINE_METRICS_URL
CLOUDACH_BASE_URL=http://127.0.0.1:28080/v1
CLOUDACH_ADMIN_URL=http://127.0.0.1:28090
CLOUDACH_MODEL=smollm2-135m
CLOUDACH_EMBEDDING_MODEL=$embedding
CLOUDACH_ENGINE=$engine
CLOUDACH_ENGINE_METRICS_URL=http://127.0.0.1:28181/metrics
"$venv/bin/python" -m pytest tests/e2e $alone -c tests/e2e/pytest.ini -p no:cacheprovider || { tail -n 30 "$run/gateway.log"; exit 1; }

# With llama.cpp the compatibility gate does this (tests/compat/gate.sh). Few tokens: this engine is slow on a CPU.
if [ "$engine" = vllm ]; then
    say "the compatibility suite ..."
    tests/compat/run.sh --base-url http://127.0.0.1:28080/v1 --key "$CLOUDACH_API_KEY" --model smollm2-135m \
        --embedding-model "$embedding" --max-tokens 16
fi

# The sidecar's own questions to the same engines.
say "the sidecar against the real engine ..."
case $engine in
llama_cpp) CLOUDACH_TEST_LLAMA_CPP=http://127.0.0.1:28181 ;;
vllm) CLOUDACH_TEST_VLLM=http://127.0.0.1:28181 CLOUDACH_TEST_VLLM_EMBEDDINGS=http://127.0.0.1:28182 ;;
esac
export CLOUDACH_TEST_LLAMA_CPP CLOUDACH_TEST_VLLM CLOUDACH_TEST_VLLM_EMBEDDINGS
cargo test --locked -p cloudach-sidecar --test blackbox "real::$engine" -- --ignored 2>&1 | tee "$run/sidecar.out"
# A pipe hides what cargo says, and a filter that matches nothing passes.
grep -qE '^test result: ok\. [1-9]' "$run/sidecar.out"

if [ "$engine" = vllm ]; then
    say "the engines are stopped, and two others at a time are killed, put to sleep and given adapters ..."
    kill $gateway
    wait $gateway || true
    for file in test_resume.py test_fleet.py; do
        "$venv/bin/python" -m pytest "tests/e2e/$file" -c tests/e2e/pytest.ini -p no:cacheprovider -rP
    done
fi

if grep -q panicked "$run/gateway.log"; then
    say "the gateway panicked:"
    grep panicked "$run/gateway.log"
    exit 1
fi
