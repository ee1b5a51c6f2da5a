#!/bin/sh
# Runs fuzz targets one after the other, each for so many seconds: run.sh SECONDS [TARGET...]. Needs cargo-fuzz and a C++
# compiler; a stable toolchain is enough. See docs/fuzzing.md.
set -eu
cd "$(dirname "$0")"
seconds=${1:?how many seconds for each target?}
shift
export RUSTC_BOOTSTRAP=1    # cargo-fuzz passes flags that a stable compiler takes only so
for target in ${*:-$(cargo fuzz list --fuzz-dir .)}; do
    echo "==================== $target, $seconds s"
    mkdir -p "corpus/$target"
    cargo fuzz run --fuzz-dir . --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=3000 -max_len=2048 -dict="dictionaries/$target.dict"
done
