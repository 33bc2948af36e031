#!/usr/bin/env bash
# Configures and builds one preset (release unless named); quiet unless something is wrong.
#   scripts/build.sh [release|debug|asan|tsan|fuzz]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
log=$(mktemp)
if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
    tail -60 "$log" >&2
    echo "The build failed (preset $preset)." >&2
    exit 1
fi
rm -f "$log"
