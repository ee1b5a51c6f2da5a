#!/bin/sh
# Fuzzes the admin API by its own description, with schemathesis: no answer may be a 5xx or have a status, a header
# or a body that is not described.
#
#   tests/admin/run.sh [SECONDS]
#
# `make test` does so for 20 seconds and always from the same seed, `make fuzz-admin` for ten minutes from a new one. The edge must be built (CLOUDACH_BIN, default
# target/debug). Ports 29430 and 29431.
set -eu

seconds=${1:-20}
[ $# -eq 0 ] && seed="--seed 1" || seed=
cd "$(dirname "$0")/../.."
bin=${CLOUDACH_BIN:-target/debug}
run=.run/admin
url=http://127.0.0.1:29431

say() { printf '[admin] %s\n' "$*"; }

# The tests' own Python environment; what is installed is noted inside it.
venv=.cache/admin
if ! cmp -s tests/admin/requirements.txt "$venv/installed.txt"; then
    say "installing schemathesis ..."
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/admin/requirements.txt
    cp tests/admin/requirements.txt "$venv/installed.txt"
fi

rm -rf "$run"
mkdir -p "$run"
"$bin/cloudach-edge" --config tests/admin/edge.yaml 2>"$run/edge.log" &
edge=$!
trap 'kill $edge 2>/dev/null || true; wait $edge 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM

# Three checks ask for more than a description says: that whatever fits it is taken (a tenant's id may be taken already), that
# what was made is there (another case may have removed it), and that nothing else is taken (null is read as nothing said, and
# a list as an object's fields in their order). What schemathesis remembers stays in the run's folder.
code=0
st=$PWD/$venv/bin/st
(cd "$run" && exec "$st" run "$url/admin/v1/openapi.json" --url "$url" --wait-for-schema 60 --max-time "$seconds" $seed \
    --header "Authorization: Bearer admin-fuzz" --checks all \
    --exclude-checks positive_data_acceptance,ensure_resource_availability,negative_data_rejection \
    --request-timeout 10 --no-color) >"$run/schemathesis.out" 2>&1 || code=$?
if [ $code -ne 0 ]; then
    cat "$run/schemathesis.out"
    say "the admin API does not do what it says; the end of the edge's log:"
    tail -n 5 "$run/edge.log"
    exit 1
fi
if grep -q panicked "$run/edge.log"; then
    say "the edge panicked:"
    grep panicked "$run/edge.log"
    exit 1
fi
tail -n 12 "$run/schemathesis.out"
