#!/usr/bin/env bash
# The session application from end to end, in one command.
#
#   scripts/demo.sh             installs what is missing, builds, starts private
#                               Redis and PostgreSQL servers, lunaqd and the
#                               session API, walks one session through them,
#                               and stops everything again
#   scripts/demo.sh --stay      the same, but goes on until Ctrl-C
#
#   --build DIR   use the programs of this build instead of making one
set -euo pipefail
cd "$(dirname "$0")/.."

stay= build=
while [ $# -gt 0 ]; do
  case "$1" in
    --stay) stay=yes ;;
    --build)
      [ $# -gt 1 ] || { echo "demo.sh: --build needs a folder" >&2; exit 2; }
      build=$2
      shift
      ;;
    *) echo "demo.sh: unknown option '$1' (known: --stay, --build DIR)" >&2
       exit 2 ;;
  esac
  shift
done

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

if [ -z "$build" ]; then
  title "what is needed"
  scripts/setup.sh
  title "build"
  build=build/demo
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DLUNAQ_BUILD_TESTS=OFF >/dev/null
  cmake --build "$build"
fi
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

title "start"
private_redis
private_postgres
echo "Redis and PostgreSQL run in $PRIVATE"
private_run lunaqd "$lunaqd" --log-format text
lunaqd_pid=$!
private_wait 20 "a table made by lunaqd's migrations (its log: $PRIVATE/lunaqd.log)" \
  psql -q "$DATABASE_URL" -c 'select 1 from page_visits limit 1' || {
  cat "$PRIVATE/lunaqd.log" >&2
  exit 1
}
private_run session_api "$session_api" --port 0
private_wait 10 "the session API listens" grep -q 'port [0-9]' \
  "$PRIVATE/session_api.log"
api=http://127.0.0.1:$(sed -n 's/.*, port \([0-9]*\)$/\1/p' \
  "$PRIVATE/session_api.log")/api/v1/sessions
cat "$PRIVATE/lunaqd.log" "$PRIVATE/session_api.log"

# Prints a curl command and its answer; the answer is also in $answer.
call() {
  printf '\n$ curl'
  printf ' %s' "$@"
  printf '\n'
  answer=$(curl -sS --max-time 10 "$@")
  printf '%s\n' "$answer"
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$answer"; }

title "record a session, then stop it"
call -X POST "$api"
id=$(field id)
for url in https://lua.org/manual/5.4/ https://redis.io/docs/ \
  https://www.postgresql.org/docs/; do
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

waiting=$(redis-cli -s "$REDIS_SOCKET" llen 'asynq:{ai}:pending')
if [ "$waiting" != 3 ]; then
  echo "demo.sh: 3 url:summarize tasks were expected, $waiting are there" >&2
  exit 1
fi

title "where to go on"
cat <<TEXT
README.md walks the same way by hand.  Edit handlers/session/process.lua while
lunaqd runs and stop another session: the new code runs it.
TEXT
if [ -n "$stay" ]; then
  cat <<TEXT

Everything goes on until Ctrl-C.  In another terminal:
  export LUNAQ_BROKER='$LUNAQ_BROKER' DATABASE_URL='$DATABASE_URL'
  api=$api
  tail -f $PRIVATE/lunaqd.log
  $lunaq task ls
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
