#!/usr/bin/env bash
# What a library exports is what its text file says: a symbol that came or went
# by accident is found here.
#
#     symbols.sh path/to/lib.so path/to/lib.symbols
set -euo pipefail
export LC_ALL=C
exported=$(nm -D --defined-only "$1" | awk '$2 ~ /[TDBRVW]/ {print $3}' | sort)
if ! diff -u "$2" - <<<"$exported"; then
  echo "$1 and $2 differ: if that is meant, correct the text file" >&2
  exit 1
fi
