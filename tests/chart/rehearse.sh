#!/bin/sh
# A rollout of what the chart renders, with real processes in the place of pods: see rehearse.py. About a minute.
#
#   tests/chart/rehearse.sh
#
# The services and the scripted engine must be built (CLOUDACH_BIN, default target/debug); helm and Python are those of tests/chart/run.sh, run before.
set -eu
cd "$(dirname "$0")/../.."
helm=${HELM:-$(command -v helm || echo .cache/chart/helm)}
rehearse=".cache/chart/venv/bin/python tests/chart/rehearse.py --helm $helm --bin ${CLOUDACH_BIN:-target/debug}"
# Pods have the ports that the chart gives them. In a network of their own nobody else has them.
if unshare --map-root-user --net ip link set lo up 2>/dev/null; then
    exec unshare --map-root-user --net sh -c "ip link set lo up && exec $rehearse"
fi
exec $rehearse
