#!/bin/sh
# Runs two edges, two routers and two sidecars as separate processes on this machine, each sidecar with an engine of
# its own, until Ctrl-C. `make cluster` builds and installs what it needs first.
#
# Kill any router or sidecar (their ids are printed) and go on asking either edge.
set -eu
# Ctrl-C is for this script alone, which then asks every process once: asked twice, they would not wait for their streams.
set -m

cd "$(dirname "$0")/../.."
bin=${CLOUDACH_BIN:-target/release}
run=.run/cluster
rm -rf "$run"
mkdir -p "$run"

# The examples are the configuration; only the ports and names differ between the two of a kind.
config() { # KIND NUMBER SED-EXPRESSIONS
    sed "$3" "deploy/local/$1.yaml" >"$run/$1-$2.yaml"
}
start() { # KIND NUMBER
    "$bin/cloudach-$1" --config "$run/$1-$2.yaml" >"$run/$1-$2.log" 2>&1 &
    pids="$pids $!"
    printf '  %-8s %s  pid %-7s log %s\n' "$1" "$2" "$!" "$run/$1-$2.log"
}
stop() {
    trap - INT TERM EXIT
    echo "stopping ..."
    # The order of a request's way; each waits for what it carries.
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait
}

pids=
trap 'stop; exit 0' INT TERM
trap stop EXIT

for n in 1 2; do
    config edge $n "s/:8080/:808$((2 * n - 2))/; s/:9080/:908$((2 * n - 2))/"
    config router $n "s/:7001/:700$n/; s/:9001/:900$n/"
    config sidecar $n "s/^routers:.*/routers: [127.0.0.1:7001, 127.0.0.1:7002]/; s/^replica:.*/replica: sidecar-$n/
        s/^listen:.*/listen: 127.0.0.1:710$n/; s/^admin:.*/admin: 127.0.0.1:910$n/; s/8081/818$n/g"
done
echo "starting:"
for n in 1 2; do start edge $n; done
for n in 1 2; do start router $n; done
for n in 1 2; do start sidecar $n; done

seconds=0
until curl -sf -o /dev/null http://127.0.0.1:9101/readyz && curl -sf -o /dev/null http://127.0.0.1:9102/readyz &&
    curl -sf -o /dev/null http://127.0.0.1:9080/readyz && curl -sf -o /dev/null http://127.0.0.1:9082/readyz; do
    for pid in $pids; do
        kill -0 "$pid" 2>/dev/null || { echo "a process has ended; see the logs in $run"; exit 1; }
    done
    seconds=$((seconds + 1))
    if [ $seconds -gt 120 ]; then
        echo "not ready after two minutes; see the logs in $run"
        exit 1
    fi
    printf '\r  waiting for the engines (%s s) ' $seconds
    sleep 1
done
cat <<'END'

ready:
  base URLs  http://127.0.0.1:8080/v1  http://127.0.0.1:8082/v1
  key        sk-local-trial

  curl http://127.0.0.1:8082/v1/chat/completions -H 'Authorization: Bearer sk-local-trial' -H 'Content-Type: application/json' \
    -d '{"model": "smollm2-135m", "temperature": 0, "messages": [{"role": "user", "content": "Say hello."}]}'

Ctrl-C stops everything.
END
wait
