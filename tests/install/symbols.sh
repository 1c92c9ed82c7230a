#!/usr/bin/env bash
# What a library exports is what its text file says, and what its headers
# declare: a symbol that came or went by accident is found here.
#
#     symbols.sh path/to/lib.so path/to/lib.symbols path/to/header.h…
set -euo pipefail
export LC_ALL=C
exported=$(nm -D --defined-only "$1" | awk '$2 ~ /[TDBRVW]/ {print $3}' | sort)
declared=$(cat "${@:3}" | tr '\n' ' ' | grep -oE 'LUNAQ_API [^;(]*\(' |
  grep -oE 'lunaq_[a-z0-9_]+\($' | tr -d '(' | sort)
status=0
if ! diff -u "$2" - <<<"$exported"; then
  echo "$1 exports something else: if that is meant, correct $2" >&2
  status=1
fi
if ! diff -u "$2" - <<<"$declared"; then
  echo "${*:3} declare something else: if that is meant, correct $2" >&2
  status=1
fi
exit $status
