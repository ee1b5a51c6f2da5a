#!/bin/sh
# Checks that the documentation names only files that exist.
set -eu
cd "$(dirname "$0")/.."
missing=0
for page in README.md docs/architecture.md docs/decisions/*.md; do
    # Paths in back-ticks and relative links.
    for path in $(grep -oE '`(proto|service|edge|router|sidecar|deploy|tests|docs)/[A-Za-z0-9_./-]*`|\]\([a-zA-Z][A-Za-z0-9_./-]*\)' "$page" | sed 's/^`//; s/`$//; s/^](//; s/)$//'); do
        if [ ! -e "$path" ] && [ ! -e "$(dirname "$page")/$path" ]; then
            echo "$page names $path, which does not exist"
            missing=1
        fi
    done
done
[ $missing -eq 0 ] && echo "documentation: every path exists"
exit $missing
