#!/usr/bin/env bash
# The session application from end to end, in one command.
#
#   scripts/demo.sh             installs what is missing, builds, starts lunaqd
#                               and the session API in this folder, walks one
#                               session through them, and stops them again;
#                               tasks and data stay in .lunaq/
#   scripts/demo.sh --stay      the same, but goes on until Ctrl-C
#   scripts/demo.sh --redis     the same with private Redis and PostgreSQL
#                               servers, which are stopped and removed again
#
#   --build DIR   use the programs of this build instead of making one
#   --scratch     in a copy of the application, which is removed again
set -euo pipefail
cd "$(dirname "$0")/.."

stay='' build='' redis='' scratch=''
while [ $# -gt 0 ]; do
  case "$1" in
    --stay) stay=yes ;;
    --redis) redis=yes ;;
    --scratch) scratch=yes ;;
    --build)
      [ $# -gt 1 ] || { echo "demo.sh: --build needs a folder" >&2; exit 2; }
      build=$2
      shift
      ;;
    *) echo "demo.sh: unknown option '$1' (known: --stay, --redis, --scratch," \
            "--build DIR)" >&2
       exit 2 ;;
  esac
  shift
done

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

if [ -z "$build" ]; then
  title "what is needed"
  scripts/setup.sh ${redis:+--servers}
  title "build"
  build=build/demo
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DLUNAQ_BUILD_TESTS=OFF >/dev/null
  cmake --build "$build"
fi
shown=$build
build=$(realpath "$build")
lunaqd=$build/core/bin/lunaqd
lunaq=$build/core/bin/lunaq
session_api=$build/examples/session_api
for program in "$lunaqd" "$lunaq" "$session_api"; do
  [ -x "$program" ] || { echo "demo.sh: no $program: build it" >&2; exit 1; }
done

. scripts/private-servers.sh
private_begin
trap private_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "$scratch" ]; then
  mkdir "$PRIVATE/app"
  cp -R handlers migrations "$PRIVATE/app"
  cd "$PRIVATE/app"
fi

title "start"
for name in $(compgen -e); do
  case $name in LUNAQ_* | REDIS_URL | REDIS_ADDR | DATABASE_URL) unset "$name" ;; esac
done
if [ -n "$redis" ]; then
  private_redis
  private_postgres
  echo "Redis and PostgreSQL run in $PRIVATE"
elif [ -e .lunaq/queue.db ] &&
  [ "$("$lunaq" server ls --json)" != "[]" ]; then
  echo "demo.sh: a lunaqd runs in this folder already (or was killed some" \
    "seconds ago): stop it, or add --scratch" >&2
  exit 1
fi
private_run lunaqd "$lunaqd" --log-format text
lunaqd_pid=$!
private_wait 20 "lunaqd has started (its log: $PRIVATE/lunaqd.log)" \
  grep -q 'tasks at once' "$PRIVATE/lunaqd.log" || {
  cat "$PRIVATE/lunaqd.log" >&2
  exit 1
}
private_run session_api "$session_api" --port 0
private_wait 10 "the session API listens" grep -q 'port [0-9]' \
  "$PRIVATE/session_api.log" || {
  cat "$PRIVATE/session_api.log" >&2
  exit 1
}
api=http://127.0.0.1:$(sed -n 's/.*, port \([0-9]*\)$/\1/p' \
  "$PRIVATE/session_api.log")/api/v1/sessions
cat "$PRIVATE/lunaqd.log" "$PRIVATE/session_api.log"

# Prints a curl command and its answer; the answer is also in $answer.
call() {
  local arg line='$ curl'
  for arg in "$@"; do
    [[ $arg != *[{\ ]* ]] || arg="'$arg'"
    line+=" $arg"
  done
  printf '\n%s\n' "$line"
  answer=$(curl -sS --max-time 10 "$@")
  printf '%s\n' "$answer"
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$answer"; }
# How many pages of the session wait in the queue ai.
waiting() {
  "$lunaq" task ls --queue ai --size 1000 --json | grep -o "$id" | wc -l
}

title "record a session, then stop it"
call -X POST "$api"
id=$(field id)
for url in https://lua.org/manual/5.4/ https://sqlite.org/docs.html \
  https://redis.io/docs/; do
  call -X POST "$api/$id/visits" -d "{\"url\":\"$url\"}"
done
before=$(wc -l <"$PRIVATE/lunaqd.log")
call -X POST "$api/$id/stop"
if [[ $answer != *'"enqueued":true'* ]]; then
  echo "demo.sh: the stop was not enqueued" >&2
  exit 1
fi

title "the worker's log"
completed() { grep -q 'session processing completed' "$PRIVATE/lunaqd.log"; }
done=yes
private_wait 15 "'session processing completed' in the worker's log" completed ||
  done=
tail -n "+$((before + 1))" "$PRIVATE/lunaqd.log"
[ -n "$done" ]

title "what it left behind"
call "$api/$id"
printf '\n$ lunaq task ls --queue ai        (nobody serves this queue yet)\n'
"$lunaq" task ls --queue ai
printf '\n$ lunaq stats\n'
"$lunaq" stats

if [ "$(waiting)" != 3 ]; then
  echo "demo.sh: 3 url:summarize tasks of this session were expected," \
    "$(waiting) are there" >&2
  exit 1
fi

if [ -n "$stay" ]; then
  title "it goes on until Ctrl-C"
  echo "In another terminal:"
  echo "  cd $PWD"
  [ -z "$redis" ] ||
    echo "  export LUNAQ_BROKER='$LUNAQ_BROKER' DATABASE_URL='$DATABASE_URL'"
  cat <<TEXT
  alias lunaq=$lunaq
  api=$api
  tail -f $PRIVATE/lunaqd.log
TEXT
  wait "$lunaqd_pid"
fi

title "stop"
private_stop "$lunaqd_pid" || {
  echo "demo.sh: lunaqd ended with exit status $?" >&2
  tail -20 "$PRIVATE/lunaqd.log" >&2
  exit 1
}
tail -1 "$PRIVATE/lunaqd.log"
[ -z "$scratch$redis" ] || exit 0

title "where to go on"
cat <<TEXT
All of it is in $PWD/.lunaq/: queue.db has the tasks, app.db the sessions.
In this folder:

  $shown/core/bin/lunaqd                   # in one terminal; Ctrl-C stops it
  $shown/core/bin/lunaq enqueue session:cleanup max_age_hours:=24 --wait
  $shown/core/bin/lunaq task ls            # in another

Edit handlers/session/process.lua while lunaqd runs: the next task runs the new
code.  With Redis or PostgreSQL, nothing changes in a handler:

  LUNAQ_BROKER=redis://127.0.0.1:6379 DATABASE_URL=postgres://… $shown/core/bin/lunaqd
  scripts/demo.sh --redis                  # the same demo with both

README.md walks the same way by hand; docs/embedded.md tells about the files.
TEXT
