#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and closes with "N passed, N failed, N skipped".
#   scripts/test.sh              all tests of the release build
#   scripts/test.sh asan         the same under AddressSanitizer and UBSan (or tsan: ThreadSanitizer)
#   scripts/test.sh release --only gguf
set -euo pipefail
cd "$(dirname "$0")/.."
preset=release
case "${1:-}" in release | debug | asan | ubsan | tsan) preset=$1; shift ;; esac
scripts/install-deps.sh --test
scripts/build.sh "$preset"
build=build
[ "$preset" = release ] || build=build-$preset
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
# The system's NNG is not instrumented: what it does between its own threads is not ours to judge.
export TSAN_OPTIONS=${TSAN_OPTIONS:-ignore_noninstrumented_modules=1:suppressions=$PWD/tests/tsan.supp}
exec python3 scripts/run_tests.py "$build" "$@"
