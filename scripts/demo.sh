#!/usr/bin/env bash
# From a fresh machine to an answer: installs what is missing, builds, splits a model over three workers, asks a question.
#   scripts/demo.sh [MODEL.gguf] [--question TEXT] [--stay]
# Every worker gets a memory budget too small for the whole model. --stay keeps everything up and says how to talk to it.
set -euo pipefail
cd "$(dirname "$0")/.."

model= question= stay=
while [ $# -gt 0 ]; do
    case "$1" in
    --stay) stay=1 ;;
    --question) question=${2:?--question wants a text}; shift ;;
    -h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "There is no option $1; see scripts/demo.sh --help" >&2; exit 2 ;;
    *) model=$1 ;;
    esac
    shift
done

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "Installing what is missing"
scripts/install-deps.sh
step "Building"
scripts/build.sh release
caravan=build/cli/caravan

work=$(mktemp -d)
pids=()
# Everything that was started ends with this script, whichever way it ends.
cleanup() {
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ -z "$model" ] && [ -f models/house-f16.gguf ]; then
    model=models/house-f16.gguf
    : "${question:=Who are you?}"
elif [ -z "$model" ]; then
    model=$work/random.gguf
    step "No model was named: making one with random weights. It runs like a real one, but what it says is noise."
    build/tools/caravan-mkmodel "$model"
fi
[ -f "$model" ] || { echo "There is no file $model" >&2; exit 1; }
: "${question:=Tell me a short story about a caravan.}"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
http=127.0.0.1:$(free_port) cluster=127.0.0.1:$(free_port)

# A budget per worker: too little for the whole model, enough for a good third of it, its sequence memory, and the process.
ctx=1024 parallel=2
budget=$(python3 scripts/demo_budget.py "$caravan" "$model" "$ctx" "$parallel")
step "Starting a coordinator and three workers with $((budget >> 20)) MiB each, the process included: no one can hold the model alone"

"$caravan" serve "$model" --http "$http" --cluster "$cluster" --no-local --workers 3 --ctx $ctx --parallel $parallel \
    --cache "$work/coordinator" >"$work/serve.log" 2>&1 &
pids+=($!)
for name in one two three; do
    "$caravan" join "$cluster" --name "$name" --memory "$budget" --threads 1 --cache "$work/$name" >"$work/$name.log" 2>&1 &
    pids+=($!)
done
for _ in $(seq 600); do
    grep -q '^Serving ' "$work/serve.log" && break
    for pid in "${pids[@]}"; do
        kill -0 "$pid" 2>/dev/null || { cat "$work"/*.log >&2; echo "A process ended too early." >&2; exit 1; }
    done
    sleep 0.2
done
grep -q '^Serving ' "$work/serve.log" || { cat "$work"/*.log >&2; echo "Not serving after two minutes." >&2; exit 1; }
grep -v '^loading\|^waiting\|^reading\|^Add a machine' "$work/serve.log"

step "Asking over HTTP: $question"
"$caravan" run --url "http://$http" --max-tokens 200 --temperature 0 --verbose "$question"

if [ -n "$stay" ]; then
    name=$(basename "$model" .gguf)
    step "It stays up until Ctrl-C. To talk to it:"
    cat <<TEXT
  $caravan run --url http://$http
  $caravan ps --url http://$http

  curl http://$http/v1/chat/completions -H 'Content-Type: application/json' \\
       -d '{"model": "$name", "messages": [{"role": "user", "content": "Hello"}], "stream": true}'

  from openai import OpenAI
  client = OpenAI(base_url="http://$http/v1", api_key="none")
  print(client.chat.completions.create(model="$name", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)
TEXT
    while :; do sleep 1; done
fi
step "Shutting down"
