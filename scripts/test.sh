#!/usr/bin/env bash
# Installs what the tests need, builds everything with warnings as errors and
# runs every test.  The last lines are ctest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --test
exec cmake --workflow --preset dev
