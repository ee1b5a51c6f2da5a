#!/bin/sh
# Holds any OpenAI-compatible server against the OpenAI API. README.md says how to read what it prints.
#
#   tests/compat/run.sh --base-url URL --key KEY --model M [--embedding-model M] [--against URL2 ...] [--help]
#   tests/compat/run.sh --self-test [ARGUMENTS OF PYTEST]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../.cache/compat

# The suite's own Python environment; what is installed is noted inside it.
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    printf '[compat] installing the suite ...\n' >&2
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE
if [ "${1:-}" = --self-test ]; then
    shift
    exec "$venv/bin/python" -m pytest -c "$here/pytest.ini" "$here/tests" "$@"
fi
exec "$venv/bin/python" -m compat "$@"
