#!/bin/sh
# Checks that the documentation names only files, and tests in them, that exist.
set -eu
cd "$(dirname "$0")/.."
missing=0
for page in README.md docs/*.md docs/decisions/*.md; do
    # Paths in back-ticks and relative links.
    for path in $(grep -oE '`(proto|service|edge|router|sidecar|deploy|tests|docs)/[A-Za-z0-9_./-]*`|\]\([a-zA-Z][A-Za-z0-9_./-]*\)' "$page" | sed 's/^`//; s/`$//; s/^](//; s/)$//'); do
        if [ ! -e "$path" ] && [ ! -e "$(dirname "$page")/$path" ]; then
            echo "$page names $path, which does not exist"
            missing=1
        fi
    done
    # Tests: `file::name`.
    for test in $(grep -oE '`[A-Za-z0-9_/-]+\.[a-z]+::[A-Za-z0-9_]+`' "$page" | tr -d '`'); do
        if ! grep -qE "(fn|def) ${test##*::}\\b" "${test%%::*}" 2>/dev/null; then
            echo "$page names the test $test, which does not exist"
            missing=1
        fi
    done
done
[ $missing -eq 0 ] && echo "documentation: every path and every test exists"
exit $missing
