#!/usr/bin/env bash
# The client's library brings neither libuv nor Lua into a process: a binding
# may live where there are others.  Redis is spoken by hiredis.
#
#     links.sh path/to/liblunaq.so
set -euo pipefail
needed=$(objdump -p "$1" | awk '$1 == "NEEDED" {print $2}')
if grep -E '^lib(uv|lua)' <<<"$needed"; then
  echo "$1 must not need these" >&2
  exit 1
fi
if ! grep -q '^libhiredis' <<<"$needed"; then
  echo "$1 reads Redis' replies by hiredis, but is not linked to it" >&2
  exit 1
fi
