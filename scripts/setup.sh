#!/usr/bin/env bash
# Installs what lunaq needs on Debian 12 or newer (Ubuntu 24.04 and newer work
# the same way).  Safe to run again: what is already there is left alone.
#
#   scripts/setup.sh            build lunaq and run its demo
#   scripts/setup.sh --servers  the same, and Redis and PostgreSQL
#   scripts/setup.sh --test     the same, and what the test command needs
#   scripts/setup.sh --dev      the same, and the linters and fuzzers
#   scripts/setup.sh --print    only say what would be installed
set -euo pipefail

build=(build-essential cmake ninja-build pkg-config libuv1-dev libhiredis-dev
  libssl-dev libpq-dev liblua5.4-dev libcjson-dev libsqlite3-dev
  libmicrohttpd-dev libncurses-dev curl tzdata)
servers=(redis-server postgresql-15 postgresql-client-15)
tests=(libcmocka-dev openssl libprotobuf-c-dev protobuf-c-compiler git procps python3
  sqlite3)
# What some tests show lunaq to; without it those tests are skipped, as they
# are on a system that does not have it.
shown=(chromium-headless-shell prometheus)
dev=(clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev lua-check mandoc)

packages=("${build[@]}")
only_print=
with_shown=
for arg in "$@"; do
  case "$arg" in
    --servers) packages+=("${servers[@]}") ;;
    --test) packages+=("${servers[@]}" "${tests[@]}") with_shown=yes ;;
    --dev) packages+=("${servers[@]}" "${tests[@]}" "${dev[@]}") with_shown=yes ;;
    --print) only_print=yes ;;
    *) echo "setup.sh: unknown option '$arg' (known: --servers, --test, --dev," \
         "--print)" >&2
       exit 2 ;;
  esac
done

command -v dpkg-query >/dev/null || {
  echo "setup.sh: this script knows Debian and Ubuntu only; install the" >&2
  echo "libraries named in README.md by hand and go on with 'cmake'" >&2
  exit 1
}

# A newer Debian or Ubuntu carries another PostgreSQL; its unversioned
# packages are the same thing.
if ! apt-cache show postgresql-15 >/dev/null 2>&1; then
  packages=("${packages[@]/postgresql-15/postgresql}")
  packages=("${packages[@]/postgresql-client-15/postgresql-client}")
fi

# lacks PACKAGE…: those of them that are not installed.
lacks() {
  local p
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null |
      grep -q 'install ok installed' || echo "$p"
  done
}
mapfile -t missing < <(lacks "${packages[@]}")
wanted=()
for p in $([ -z "$with_shown" ] || lacks "${shown[@]}"); do
  # Whether there is such a package is known once there are lists.
  apt-cache show "$p" >/dev/null 2>&1 || ! apt-cache show bash >/dev/null 2>&1 &&
    wanted+=("$p")
done
if [ $((${#missing[@]} + ${#wanted[@]})) -eq 0 ]; then
  echo "setup: everything is installed"
  exit 0
fi
echo "setup: missing: ${missing[*]} ${wanted[*]}"
[ -z "$only_print" ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup.sh: needs root to install packages; run it as root or install sudo" >&2
    exit 1
  }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
# Debian's packages start their servers at once; lunaq wants private ones only.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod +x "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -qq
for p in "${wanted[@]}"; do
  apt-cache show "$p" >/dev/null 2>&1 && missing+=("$p") ||
    echo "setup: this system has no package $p: some tests will be skipped"
done
[ ${#missing[@]} -gt 0 ] || exit 0
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
echo "setup: done"
