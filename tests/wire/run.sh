#!/bin/sh
# Whether this version gets on with another one: fleets of both, under streams, in every mixture that a rollout makes.
#
#   tests/wire/run.sh OLD_REF [TESTS...]
#
# Builds the services of OLD_REF (a tag or a commit) beside this tree's, which takes minutes the first time, and runs black-box tests (default: mixed, cancel,
# calls, connections, resume and survival) with the edge, the router or the sidecar of the old version and the rest of this one, and the other way about. What fails with services of the old
# version alone is what that version cannot do yet, and counts against no mixture. Run by hand before a version is released; `make test` holds the contract itself against
# the version before.
set -eu
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3-; exit 2; }
ref=$1
shift
tests=${*:-"mixed cancel calls connections resume survival"}
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

# Prints the names of the tests that fail with these services of the old version.
failing() {
    variables=
    for service in $1; do
        variables="$variables CLOUDACH_$(echo "$service" | tr a-z A-Z)_BIN=$PWD/$place/cloudach-$service"
    done
    # shellcheck disable=SC2086
    env $variables "${CARGO:-cargo}" test --locked -p cloudach-blackbox $words --no-fail-fast >"$place/log" 2>&1 || true
    cp "$place/log" "$place/$(echo "$1" | tr ' ' '+').log"
    grep -E '^test .* FAILED$' "$place/log" | awk '{ print $2 }' | sort
}

failing "$services" >"$place/cannot"
say "of $old alone: $(grep -cE '^test .* ok$' "$place/log") passed, $(wc -l <"$place/cannot") failed: $(tr '\n' ' ' <"$place/cannot")"
[ "$(grep -cE '^test .* ok$' "$place/log")" -gt 0 ] || { say "nothing ran; see $place/log"; exit 1; }
broken=
for mixture in edge router sidecar "edge router" "edge sidecar" "router sidecar"; do
    failing "$mixture" >"$place/failed"
    new=$(comm -13 "$place/cannot" "$place/failed" | tr '\n' ' ')
    say "of $old: $mixture; $(grep -cE '^test .* ok$' "$place/log") passed, $(wc -l <"$place/failed") failed${new:+; only in this mixture: $new}"
    [ -z "$new" ] || broken="$broken [$mixture]"
done
[ -z "$broken" ] || { say "FAILED with$broken of $old; logs are in $place"; exit 1; }
say "this tree and $old get on in all six mixtures"
