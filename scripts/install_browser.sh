#!/bin/sh
# Installs what tests/browser needs: Chromium from Debian's packages, and Playwright for Python into the environment.
#
#     scripts/install_browser.sh           # needs root, or sudo, for Chromium
#
# Elsewhere any Chromium or Chrome will do: POSEWIRE_CHROMIUM names its program.
set -eu

python="${PYTHON:-.venv/bin/python}"
if ! command -v chromium >/dev/null && [ -z "${POSEWIRE_CHROMIUM:-}" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "No chromium, and no apt-get to get it: install one and say where in POSEWIRE_CHROMIUM." >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo"; fi
    export DEBIAN_FRONTEND=noninteractive
    # A mirror that lacks one index must not stop what the others have.
    $sudo apt-get update -qq || echo "apt-get update failed; trying with the lists that are there" >&2
    $sudo apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core
fi
"$python" -m pip install --quiet --disable-pip-version-check playwright
echo "Ready: $python -m pytest tests/browser"
