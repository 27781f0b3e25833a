#!/bin/sh
# Make .venv hold exactly what requirements/SET.txt locks (SET: operator or dev), and this project.
# Runs on a bare Debian 12: only python3 and apt-get are taken for granted. Does nothing when the
# stamp says the same lock files are already installed.
set -eu
set_name=${1:?usage: requirements/install.sh operator|dev}
cd "$(dirname "$0")/.."
venv=.venv
want=$(cat requirements/uv.txt "requirements/$set_name.txt" pyproject.toml | sha256sum | cut -d' ' -f1)
stamp=$venv/.installed-$set_name
dev_stamp=$venv/.installed-dev

[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0
# dev.txt holds all of operator.txt at the same versions, so a complete dev environment serves both.
if [ "$set_name" = operator ] && [ -f "$dev_stamp" ]; then
    dev_want=$(cat requirements/uv.txt requirements/dev.txt pyproject.toml | sha256sum | cut -d' ' -f1)
    [ "$(cat "$dev_stamp")" = "$dev_want" ] && exit 0
fi

say() { printf '%s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python 3.11 or newer is needed as python3; on Debian 12: apt-get install python3"
    exit 1
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    say "Installing python3-venv ..."
    as_root apt-get -qq update || say "(apt-get update complained; going on with the lists at hand)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y python3-venv >/dev/null
fi

say "Installing the $set_name packages into $venv (hash-locked) ..."
[ -x $venv/bin/python ] || { rm -rf $venv; python3 -m venv $venv; }
rm -f "$stamp"
$venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt

# uv does not read pip's configuration: hand it the machine's own index and certificates.
setting() { $venv/bin/python -m pip config get "global.$1" 2>/dev/null || true; }
UV_SYSTEM_CERTS=true
UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(setting index-url)}}
export UV_SYSTEM_CERTS UV_DEFAULT_INDEX
[ -n "$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX
uv="$venv/bin/uv --quiet --no-config"
VIRTUAL_ENV=$PWD/$venv
export VIRTUAL_ENV
$uv pip sync --require-hashes "requirements/$set_name.txt"
$uv pip install --no-deps --no-build-isolation --offline -e .
printf '%s\n' "$want" >"$stamp"
