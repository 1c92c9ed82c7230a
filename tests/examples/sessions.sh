#!/usr/bin/env bash
# The handlers of handlers/session/ in a real lunaqd, with a real PostgreSQL or
# a SQLite file.
#
#     sessions.sh path/to/lunaqd path/to/lunaq [postgres|sqlite]
set -euo pipefail
lunaqd=$(realpath "$1")
lunaq=$(realpath "$2")
database=${3:-postgres}
cd "$(dirname "$0")/../.."
. scripts/private-servers.sh

private_begin
trap private_end EXIT
private_redis
"private_$database"
private_run lunaqd env LUNAQ_LOG_FORMAT=json "$lunaqd"
daemon=$!
log=$PRIVATE/lunaqd.log
sql() { private_sql "$1"; }
redis() { redis-cli -s "$REDIS_SOCKET" "$@"; }
private_wait 20 "lunaqd has applied its migrations" \
  sql 'select count(*) from sessions, page_visits'
failures=0

# check NAME command…: fails the test, not the script.
check() {
  local name=$1
  shift
  if "$@"; then
    echo "ok   $name"
  else
    echo "FAIL $name: $*"
    failures=$((failures + 1))
  fi
}
is() { [ "$1" = "$2" ] || { echo "     got '$1', wanted '$2'"; false; }; }

# enqueue TYPE [argument…]: $id is the task; its result is kept.
enqueue() { id=$("$lunaq" enqueue "$@" --retention 1h --json |
  sed -n 's/.*"id":[[:space:]]*"\([^"]*\)".*/\1/p'); }
state() { redis hget "asynq:{$1}:t:$id" state; }
# settled QUEUE STATE: waits until the task is in it.
settled() {
  local queue=$1 wanted=$2
  reached() { [ "$(state "$queue")" = "$wanted" ]; }
  private_wait 20 "task $id is $wanted, is $(state "$queue")" reached
}
session() { # STATUS [AGE]: a new session's id
  local id
  id=$(cat /proc/sys/kernel/random/uuid)
  sql "insert into sessions (id, status, updated_at) values ('$id', '$1',
       '$(date -u -d "-${2:-0 seconds}" '+%Y-%m-%d %H:%M:%S')')"
  echo "$id"
}
visit() { sql "insert into page_visits (session_id, url) values ('$1', '$2')"; }
status() { sql "select status from sessions where id = '$1'"; }
waiting() { redis llen 'asynq:{ai}:pending'; }
logged() { grep -F "$1" "$log" | grep -qF "$2"; }

# ---- session:process -----------------------------------------------------------

s=$(session processing)
visit "$s" https://a.example/
visit "$s" https://b.example/
visit "$s" https://a.example/
enqueue session:process session_id="$s"
check process__completes settled default completed
check process__one_task_a_page is "$(waiting)" 2
ids=$(redis lrange 'asynq:{ai}:pending' 0 -1)
messages=$(for i in $ids; do redis hget "asynq:{ai}:t:$i" msg | tr -d '\0'; done)
check process__payload_is_as_agreed grep -aqF "{\"session_id\":\"$s\",\"url\":\"https://a.example/\"}" <<<"$messages"
check process__type_is_as_agreed grep -aqF url:summarize <<<"$messages"
check process__logs_the_start logged 'processing session' "$s"
check process__logs_the_end logged 'session processing completed' "$s"

enqueue session:process session_id="$s"
check process__again__completes settled default completed
check process__again__enqueues_nothing_twice is "$(waiting)" 2

s=$(session recording)
visit "$s" https://c.example/
enqueue session:process session_id="$s"
check process__not_in_processing__succeeds settled default completed
check process__not_in_processing__enqueues_nothing is "$(waiting)" 2
check process__not_in_processing__warns logged '"warn"' 'not in processing state'

s=$(session processing)
enqueue session:process session_id="$s"
check process__no_pages__completes settled default completed

enqueue session:process session_id=00000000-0000-4000-8000-000000000000
check process__no_such_session__is_archived settled default archived
enqueue session:process session_id='not an id'
check process__id_of_another_form__is_archived settled default archived
enqueue session:process session_id:=7
check process__id_is_a_number__is_archived settled default archived
enqueue session:process
check process__no_payload__is_archived settled default archived
enqueue session:process --payload - <<<'{"session_id":'
check process__payload_is_not_json__is_archived settled default archived

s=$(session processing)
enqueue session:process session_id="$s" --process-in 2s --deadline 1s
check process__given_up__is_archived settled default archived
session_failed() { [ "$(status "$s")" = failed ]; }
check process__given_up__its_session_has_failed \
  private_wait 10 "session $s has failed" session_failed

# ---- while the database is away --------------------------------------------------

if [ "$database" = postgres ]; then
  s=$(session processing)
  visit "$s" https://d.example/
  private_stop "$POSTGRES_PID" INT || true
  enqueue session:process session_id="$s"
  check process__database_away__is_retried settled default retry
  private_postgres_start
  "$lunaq" task run "$id" >/dev/null
  check process__database_back__completes settled default completed
  check process__database_back__enqueues is "$(waiting)" 3
else
  # Another program writes for longer than the handler wants to.
  mkfifo "$PRIVATE/hold"
  sqlite3 -batch "${DATABASE_URL#sqlite:}" <"$PRIVATE/hold" >"$PRIVATE/held" &
  holder=$!
  exec 4>"$PRIVATE/hold"
  echo "begin immediate; select 'held';" >&4
  private_wait 10 "the other program writes" grep -q held "$PRIVATE/held"
  enqueue session:cleanup max_age_hours:=24 --queue low
  check cleanup__database_is_being_written__waits settled low active
  echo "rollback;" >&4
  exec 4>&-
  wait "$holder"
  check cleanup__database_is_free__completes settled low completed
fi

# ---- session:cleanup -------------------------------------------------------------

old_recording=$(session recording '25 hours')
old_paused=$(session paused '3 days')
new_recording=$(session recording '23 hours')
old_processing=$(session processing '25 hours')
old_completed=$(session completed '25 hours')
enqueue session:cleanup max_age_hours:=24 --queue low
check cleanup__completes settled low completed
check cleanup__old_recording__is_failed is "$(status "$old_recording")" failed
check cleanup__old_paused__is_failed is "$(status "$old_paused")" failed
check cleanup__new_recording__stays is "$(status "$new_recording")" recording
check cleanup__processing__stays is "$(status "$old_processing")" processing
check cleanup__completed__stays is "$(status "$old_completed")" completed
check cleanup__result_is_the_count is "$(redis hget "asynq:{low}:t:$id" result)" 2
check cleanup__logs_the_count logged 'sessions' '"count":2'
for bad in 0 -1 '"24"'; do
  enqueue session:cleanup max_age_hours:="$bad" --queue low
  check "cleanup__max_age_${bad}__is_archived" settled low archived
done
# Entries are shown when the daemon knows when they were last due.
entries() { "$lunaq" cron ls --json | tr -d '[:space:]'; }
shown() { [[ $(entries) == *"$1"* ]]; }
check cleanup__is_scheduled_every_hour \
  private_wait 20 "an entry for every hour" shown '"@every1h"'
check cleanup__is_scheduled_with_24_hours shown 'max_age_hours\":24'

# ---- the end ---------------------------------------------------------------------

rc=0
private_stop "$daemon" TERM || rc=$?
check stop__is_clean is "$rc" 0
if [ "$failures" -gt 0 ]; then
  cat "$log"
  echo "$failures failures"
  exit 1
fi
