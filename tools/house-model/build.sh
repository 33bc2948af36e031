#!/bin/sh
# Rebuilds both models, their held-out cases and digests from nothing. A run that is stopped goes on where it was.
#
#   tools/house-model/build.sh [python]        python: one that has requirements.txt installed
set -eu
cd "$(dirname "$0")"
python=${1:-python3}
models=../../models
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

mkdir -p build "$models/heldout"
[ -f build/tokenizer.json ] || "$python" tokenizer.py --seed 1 --out build/tokenizer.json
stage() {  # stage MARK COMMAND...: run a command once
    mark=build/$1.done
    shift
    [ -f "$mark" ] || { "$@" && touch "$mark"; }
}
stage house "$python" train.py house --million "${HOUSE_MILLION:-10}" --threads "${THREADS:-2}"
stage draft "$python" train.py house-draft --million "${DRAFT_MILLION:-8}" --teacher house --threads "${THREADS:-2}"
"$python" export.py house "$models/house-f16.gguf"
"$python" export.py house-draft "$models/house-draft-f16.gguf"
"$python" evaluate.py house --write "$models/heldout"
(cd "$models" && sha256sum house-f16.gguf house-draft-f16.gguf > SHA256SUMS)
"$python" evaluate.py house
"$python" evaluate.py house --agreement
