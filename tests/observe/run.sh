#!/bin/sh
# Checks alerts and boards: every metric, label and value in them exists (docs/metrics.md, which a test of `cloudach` keeps true), alerts
# do what they say, boards fit Grafana; then tries every expression on a gateway that runs, with the real Prometheus.
#
#   tests/observe/run.sh            all of it: half a minute
#   tests/observe/run.sh --static   without the gateway
#
# Needs python3 alone. Prometheus and promtool are those on the PATH, or come out of Debian's package into .cache/observe; nothing is
# installed, and no service is started.
set -eu
cd "$(dirname "$0")/../.."
cache=.cache/observe
tools=$cache/prometheus/usr/bin

say() { printf '[observe] %s\n' "$*"; }

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    tools=$(dirname "$(command -v prometheus)")
elif [ ! -x "$tools/prometheus" ] || [ ! -x "$tools/promtool" ]; then
    say "fetching Debian's package of Prometheus ..."
    mkdir -p "$cache"
    (
        cd "$cache"
        apt-get download prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download prometheus; }
        dpkg -x prometheus_*.deb prometheus.new
        rm -rf prometheus prometheus_*.deb
        mv prometheus.new prometheus
    )
fi

venv=$cache/venv
wanted="# $PWD
$(cat tests/observe/requirements.txt)"
if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$wanted" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/observe/requirements.txt
    printf '%s\n' "$wanted" >"$venv/installed.txt"
fi

say "$("$tools/promtool" --version 2>&1 | head -n 1)"
deploy/chart/dashboards.py --check
exec "$venv/bin/python" tests/observe/check.py --tools "$tools" --bin "${CLOUDACH_BIN:-target/debug}" "$@"
