#!/usr/bin/env bash
# What is installed can be used: a program of a few lines builds against it, by
# pkg-config and by find_package, also after the tree was moved, and enqueues a
# task into a private Redis.
#
#     install.sh BUILD_FOLDER CMAKE C_COMPILER [C_FLAGS]
set -euo pipefail
build=$1 cmake=$2 cc=$3 flags=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../scripts/private-servers.sh"

private_begin
trap private_end EXIT
private_redis || exit 77

DESTDIR='' "$cmake" --install "$build" --prefix "$PRIVATE/first" >"$PRIVATE/log"
mv "$PRIVATE/first" "$PRIVATE/moved"
prefix=$PRIVATE/moved
pc=$(find "$prefix" -name lunaq.pc)
lib=$(dirname "$(dirname "$pc")")

pending() { redis-cli -s "$REDIS_SOCKET" llen 'asynq:{default}:pending'; }
expect() { # NAME GOT WANTED
  if [ "$2" != "$3" ]; then
    echo "FAIL $1: got $2, wanted $3" >&2
    exit 1
  fi
  echo "ok   $1"
}

export PKG_CONFIG_PATH=${pc%/*}
expect pkg_config__version "$(pkg-config --modversion lunaq)" \
  "$(sed -n 's/^#define LUNAQ_VERSION "\(.*\)"/\1/p' \
    "$prefix/include/lunaq/lunaq.h")"
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags -o "$PRIVATE/by-pkg-config" \
  "$here/consumer.c" $(pkg-config --cflags --libs lunaq)
LD_LIBRARY_PATH=$lib "$PRIVATE/by-pkg-config"
expect pkg_config__consumer_enqueues "$(pending)" 1

# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags -o "$PRIVATE/server" \
  "$here/consumer_server.c" $(pkg-config --cflags --libs lunaq-server)
LD_LIBRARY_PATH=$lib "$PRIVATE/server"
expect pkg_config__server_runs_the_task "$(pending)" 0

mkdir "$PRIVATE/consumer"
cp "$here/consumer.c" "$here/consumer_server.c" "$PRIVATE/consumer"
cat >"$PRIVATE/consumer/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(lunaq 0.1 REQUIRED CONFIG)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE lunaq::lunaq)
add_executable(server consumer_server.c)
target_link_libraries(server PRIVATE lunaq::server)
END
"$cmake" -S "$PRIVATE/consumer" -B "$PRIVATE/consumer/build" \
  -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
  -DCMAKE_C_FLAGS="$flags" >>"$PRIVATE/log"
"$cmake" --build "$PRIVATE/consumer/build" >>"$PRIVATE/log"
"$PRIVATE/consumer/build/consumer"
expect find_package__consumer_enqueues "$(pending)" 1
"$PRIVATE/consumer/build/server"
expect find_package__server_runs_the_task "$(pending)" 0

# The programs find their library beside them.
"$prefix/bin/lunaq" enqueue hello
expect installed_cli__enqueues "$(pending)" 1
expect manual__is_installed "$(find "$prefix" -name lunaq.1 | wc -l)" 1
