#!/usr/bin/env bash
# Installs what Caravan needs on Debian 12/13 or Ubuntu 24.04, and only what is missing. As root, or with sudo.
#   scripts/install-deps.sh            to build and run
#   scripts/install-deps.sh --test     and to run every test (Python, Node.js, clang for the fuzz targets)
set -euo pipefail

packages=(build-essential cmake ninja-build pkg-config ccache git curl ca-certificates python3
          libnng-dev libprotobuf-c-dev protobuf-c-compiler libevent-dev libjansson-dev libcurl4-openssl-dev
          libpcre2-dev libssl-dev libedit-dev)
if [ "${1:-}" = --test ]; then
    packages+=(python3-venv clang)
    command -v npm >/dev/null || packages+=(nodejs npm)
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "This script knows Debian and Ubuntu (apt-get). Please install by hand: ${missing[*]}" >&2
    exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Need root or sudo to install: ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
fi
echo "Installing: ${missing[*]}"
log=$(mktemp)
install() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
# A fresh machine has no package lists, one in use has old ones: refresh when the first try fails.
install || { "${sudo[@]}" apt-get update >"$log" 2>&1 && install; } || { tail -20 "$log" >&2; exit 1; }
rm -f "$log"
