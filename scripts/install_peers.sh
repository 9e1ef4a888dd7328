#!/bin/sh
# Installs the brokers that `python -m benchmarks latency` compares with: Mosquitto, Redis and NATS, from Debian's packages.
#
#     scripts/install_peers.sh           # says what is missing and installs it; needs root, or sudo
#
# The benchmark starts a broker of its own on a free port of loopback, so the services of these packages need not run.
# Elsewhere (macOS: `brew install mosquitto redis nats-server`) anything that puts the three programs on PATH will do.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"  # where Debian puts mosquitto and nats-server
missing=""
for program in mosquitto redis-server nats-server; do
    command -v "$program" >/dev/null || missing="$missing $program"  # each is also its package's name
done
if [ -z "$missing" ]; then
    echo "mosquitto, redis-server and nats-server are there."
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "Missing:$missing. No apt-get here: install them some other way and put them on PATH." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo"; fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# A mirror that lacks one index must not stop what the others have.
$sudo apt-get update -qq || echo "apt-get update failed; trying with the lists that are there" >&2
# shellcheck disable=SC2086  # words are meant to be split
$sudo apt-get install -qq -y --no-install-recommends $missing
