#!/usr/bin/env bash
# The session API against a private Redis server and PostgreSQL or a SQLite
# file: its answers, its refusals, and what it does while one is away.
#
#     session_api.sh path/to/session_api path/to/migrations [postgres|sqlite]
set -euo pipefail
program=$(realpath "$1")
migrations=$(realpath "$2")
database=${3:-postgres}
. "$(dirname "$0")/../../scripts/private-servers.sh"

private_begin
trap private_end EXIT
private_redis
"private_$database"
for file in "$migrations"/*.sql; do
  case "$file" in
  *."$database".sql) ;;
  *.sqlite.sql | *.postgres.sql) continue ;;
  esac
  private_sql "$(cat "$file")" >/dev/null
done

private_run session_api "$program" --port 0
api_pid=$!
private_wait 10 "the API listens" grep -q 'port [0-9]' "$PRIVATE/session_api.log"
port=$(sed -n 's/.*, port \([0-9]*\)$/\1/p' "$PRIVATE/session_api.log")
api=http://127.0.0.1:$port/api/v1/sessions
failures=0 status= body=

call() {
  body=$(curl -sS --max-time 15 -w '\n%{http_code}' "$@")
  status=${body##*$'\n'}
  body=${body%$'\n'*}
}

fail() {
  echo "FAIL $*"
  failures=$((failures + 1))
}

# expect NAME STATUS [TEXT in the body]
expect() {
  if [ "$status" = "$2" ] && [[ $body == *"${3:-}"* ]]; then
    echo "ok   $1"
  else
    fail "$1: got $status $body, wanted $2 ${3:-}"
  fi
}

pending() { redis-cli -s "$REDIS_SOCKET" llen 'asynq:{default}:pending'; }
session_status() {
  private_sql "select status from sessions where id = '$1'"
}

# ---- the way it is meant -----------------------------------------------------

call "http://127.0.0.1:$port/health"
expect health__both_up__is_200 200 '"broker":true'
call -X POST "$api"
expect create__is_recording 201 '"status":"recording"'
id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$body")
call -X POST "$api/$id/visits" -d '{"url":"https://example.org/a?b=c"}'
expect visit__is_201 201 'https://example.org/a?b=c'
call -X POST "$api/$id/visits" -d '{"url":"http://example.org/"}'
expect visit__again__is_201 201
call "$api/$id"
expect show__counts_visits 200 '"visits":2'
call -X POST "$api/$id/stop"
expect stop__is_processing_and_enqueued 200 '"enqueued":true'
[[ $body == *'"status":"processing"'* ]] || fail "stop: no status: $body"
[ "$(session_status "$id")" = processing ] || fail "stop: the row says otherwise"
[ "$(pending)" = 1 ] || fail "stop: $(pending) tasks pending, wanted 1"
message=$(redis-cli -s "$REDIS_SOCKET" hget "asynq:{default}:t:$(
  redis-cli -s "$REDIS_SOCKET" lindex 'asynq:{default}:pending' 0)" msg |
  tr -d '\0')
[[ $message == *session:process*"{\"session_id\":\"$id\"}"* ]] ||
  fail "stop: unexpected message: $message"
call -X POST "$api/$id/stop"
expect stop__again__enqueues_again 200 '"enqueued":true'

# ---- input that is refused ---------------------------------------------------

none=00000000-0000-4000-8000-000000000000
call "$api/$none"
expect show__unknown_session__is_404 404 'no such session'
call -X POST "$api/$none/stop"
expect stop__unknown_session__is_404 404 'no such session'
call -X POST "$api/$none/visits" -d '{"url":"https://example.org/"}'
expect visit__unknown_session__is_404 404 'no such session'
call "$api/%27%3B%20drop%20table%20sessions"
expect show__id_that_is_sql__is_404 404 'no such session'
call -X POST "$api/$id/visits" -d '{"url":"https://example.org/"}'
expect visit__stopped_session__is_409 409 'processing'
call -X POST "$api"
open=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$body")
for row in 'not_json|{"url":|not valid JSON' 'empty_body||not valid JSON' \
  'trailing_bytes|{"url":"https://a"} x|not valid JSON' \
  'no_url|{}|string' 'array|[1]|string' 'number|{"url":1}|string' \
  'other_scheme|{"url":"file:///etc/passwd"}|http' \
  'space|{"url":"https://a b"}|ASCII'; do
  IFS='|' read -r name data text <<<"$row"
  call -X POST "$api/$open/visits" -d "$data"
  expect "visit__${name}__is_400" 400 "$text"
done
call -X POST "$api/$open/visits" -d "{\"url\":\"https://$(printf 'a%.0s' {1..3000})\"}"
expect visit__url_too_long__is_400 400 'longer'
head -c 20000 /dev/zero | tr '\0' 'a' >"$PRIVATE/large"
call -X POST "$api/$open/visits" -H 'Expect:' --data-binary "@$PRIVATE/large"
expect visit__body_too_large__is_413 413 '16 KiB'
call -X POST "$api/$open/visits" -H 'Expect:' -H 'Transfer-Encoding: chunked' \
  --data-binary "@$PRIVATE/large"
expect visit__chunked_body_too_large__is_413 413 '16 KiB'
call -X DELETE "$api/$open"
expect delete__is_405 405 'GET'
call "$api"
expect list__is_405 405 'POST'
call "http://127.0.0.1:$port/other"
expect unknown_path__is_404 404 'no such path'

# ---- requests that two programs could read in two ways -------------------------

# Sends bytes as they are; what came back.
raw() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  # In one write; the server may hang up before it has read all of it.
  { printf "$1" | cat >&3; } 2>/dev/null || true
  body=$(timeout 5 cat <&3 || true)
  exec 3>&- 3<&-
  status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' <<<"$body")
}
smuggle() {
  raw "$2"
  expect "$1__is_400" 400
  [[ $body != *'{"database"'* ]] || fail "$1: the second request was answered"
}
second='GET /health HTTP/1.1\r\nHost: b\r\n\r\n'
smuggle two_content_lengths \
  "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 42\r\n\r\n$second"
smuggle content_length_and_chunked \
  "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$second"
smuggle two_transfer_encodings \
  "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n$second"
smuggle no_host "GET /health HTTP/1.1\r\n\r\n$second"
smuggle two_hosts "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n$second"
smuggle signed_length \
  "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n$second"

# ---- while one side is away ----------------------------------------------------

call -X POST "$api"
third=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$body")
private_stop "$REDIS_PID" || true
call -X POST "$api/$third/stop"
expect stop__broker_away__is_200_and_says_so 200 '"enqueued":false'
[ "$(session_status "$third")" = processing ] || fail "stop: not stopped"
grep -q "$third is stopped but not enqueued" "$PRIVATE/session_api.log" ||
  fail "stop: nothing in the log"
call "http://127.0.0.1:$port/health"
expect health__broker_away__is_503 503 '"broker":false'
private_redis
call -X POST "$api/$third/stop"
expect stop__broker_back__is_enqueued 200 '"enqueued":true'

if [ "$database" = postgres ]; then
  private_stop "$POSTGRES_PID" INT || true
  call -X POST "$api"
  expect create__database_away__is_503 503 'database'
  private_postgres_start
  back() { call -X POST "$api" && [ "$status" = 201 ]; }
  private_wait 10 "the API is back after PostgreSQL" back ||
    fail "create: $status $body"
fi

# ---- the end -------------------------------------------------------------------

kill -0 "$api_pid" || fail "the API died"
rc=0
private_stop "$api_pid" TERM || rc=$?
[ "$rc" = 0 ] || fail "TERM: exit status $rc"
rc=0
env -u DATABASE_URL "$program" --port 0 2>"$PRIVATE/err" || rc=$?
[ "$rc" = 1 ] && grep -q DATABASE_URL "$PRIVATE/err" || fail "no DATABASE_URL: $rc"
rc=0
"$program" --listen nowhere 2>"$PRIVATE/err" || rc=$?
[ "$rc" = 1 ] && grep -q "nowhere" "$PRIVATE/err" || fail "bad --listen: $rc"

if [ "$failures" -gt 0 ]; then
  cat "$PRIVATE/session_api.log"
  echo "$failures failures"
  exit 1
fi
