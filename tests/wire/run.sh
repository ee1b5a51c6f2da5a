#!/bin/sh
# Whether this version gets on with another one: fleets of both, under streams, in every mixture that a rollout makes.
#
#   tests/wire/run.sh OLD_REF [TESTS...]
#
# Builds the services of OLD_REF (a tag or a commit) beside this tree's, which takes ten minutes the first time, and runs black-box tests (default: cancel, calls, connections,
# stopping, survival, resume and mixed) with the edge, the router or the sidecar of the old version and the rest of this one, and the other way about. What only one of the
# two versions can do is in none of them. Run by hand before a version is released; `make test` holds the contract itself against the version before.
set -eu
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3-; exit 2; }
ref=$1
shift
tests=${*:-"mixed cancel calls connections stopping survival resume"}
old=$(git rev-parse --short=12 "$ref^{commit}")
place=.run/wire/$old
services="edge router sidecar"
say() { printf '[wire] %s\n' "$*"; }

if [ ! -x "$place/cloudach-sidecar" ]; then
    say "building $old ..."
    git worktree remove --force "$place/tree" 2>/dev/null || true
    git worktree add --quiet --detach "$place/tree" "$old"
    # In a folder of their own: Cargo takes crates of the same name in two trees for the same.
    target=$PWD/.run/wire/target
    (cd "$place/tree" && CARGO_TARGET_DIR=$target "${CARGO:-cargo}" build --quiet --locked -p cloudach-edge -p cloudach-router -p cloudach-sidecar)
    for service in $services; do cp "$target/debug/cloudach-$service" "$place/"; done
    git worktree remove --force "$place/tree"
fi
say "building this tree ..."
"${CARGO:-cargo}" build --quiet --locked --workspace --bins
words=
for test in $tests; do words="$words --test $test"; done

failed=
for mixture in edge router sidecar "edge router" "edge sidecar" "router sidecar"; do
    variables=
    for service in $mixture; do
        variables="$variables CLOUDACH_$(echo "$service" | tr a-z A-Z)_BIN=$PWD/$place/cloudach-$service"
    done
    say "of $old: $mixture"
    # shellcheck disable=SC2086
    if ! env $variables "${CARGO:-cargo}" test --quiet --locked -p cloudach-blackbox $words --no-fail-fast >"$place/log" 2>&1; then
        failed="$failed [$mixture]"
        cp "$place/log" "$place/$(echo "$mixture" | tr ' ' '+').log"
    fi
    grep -E '^test result|^test .*FAILED|^    [a-z_]+$' "$place/log" | sort | uniq -c
done
[ -z "$failed" ] || { say "FAILED with$failed of $old; logs are in $place"; exit 1; }
say "this tree and $old get on in all six mixtures"
