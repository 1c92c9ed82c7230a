#!/usr/bin/env bash
# The programs enqueue, embed, cron and group of examples/ do what they say.
#
#     programs.sh folder-of-the-examples path/to/lunaq
set -euo pipefail
examples=$(realpath "$1") lunaq=$(realpath "$2")
. "$(dirname "$0")/../../scripts/private-servers.sh"
unset DATABASE_URL

private_begin
trap private_end EXIT
trap 'cat "$PRIVATE"/*.log >&2' ERR
private_redis
cd "$PRIVATE"
mkdir handlers
echo 'return function(task) log.info("hello from Lua", { who = task.payload.who }) end' \
  >handlers/hello.lua

# enqueue: prints the id of what it put into the queue.
id=$("$examples/enqueue" image:resize '{"width":80}' critical)
[ "$(redis-cli -s "$REDIS_SOCKET" lindex 'asynq:{critical}:pending' 0)" = "$id" ]
"$examples/enqueue" hello '{"who":"Bob"}' >/dev/null
rc=0
LUNAQ_BROKER=redis-socket:///nowhere "$examples/enqueue" hello '{}' 2>err || rc=$?
[ "$rc" = 1 ] && grep -q nowhere err

# embed: runs one of them in C, the other in Lua, and ends clean on TERM.
private_run embed "$examples/embed"
pid=$!
private_wait 15 "embed runs its C handler" grep -q 'image:resize {"width":80}' \
  embed.log
private_wait 15 "its middleware counts the run" \
  grep -q 'run 1: image:resize, attempt 1' embed.log
private_wait 15 "embed runs its Lua handler" grep -q 'hello from Lua' embed.log
done_all() { [ "$(redis-cli -s "$REDIS_SOCKET" keys 'asynq:*:t:*')" = '' ]; }
private_wait 15 "nothing is left in Redis" done_all
private_stop "$pid"

# cron: two programs announce the same entry, and a tick fires once.
private_run cron "$examples/cron"
one=$!
private_run cron "$examples/cron"
two=$!
ticks() { [ "$(grep -c '"period":"5s"' cron.log)" -ge 2 ]; }
private_wait 30 "two ticks of cron" ticks
doubles=$(grep '"period":"5s"' cron.log | cut -d' ' -f1 | sort | uniq -d)
[ -z "$doubles" ] || { echo "fired twice in one second: $doubles"; false; }
private_stop "$one" # they serve the same queue as what follows
private_stop "$two"

# group: counts the votes for a song, here as Asynq's client writes them.
redis=(redis-cli -s "$REDIS_SOCKET")
for id in v1 v2; do
  printf '\n\4vote\32\2%s"\7default(\31@\210\16r\6song:1' "$id" |
    "${redis[@]}" -x HSET "asynq:{default}:t:$id" state aggregating \
      group song:1 msg >/dev/null
  "${redis[@]}" ZADD 'asynq:{default}:g:song:1' "$(date +%s)" "$id" >/dev/null
done
"${redis[@]}" SADD 'asynq:{default}:groups' song:1 >/dev/null
private_run group "$examples/group"
pid=$!
private_wait 30 "two votes are counted" grep -q '^2 for song:1$' group.log
private_stop "$pid"

# Without a broker: a queue file that embed makes, and enqueue finds.
unset LUNAQ_BROKER REDIS_URL REDIS_ADDR
mkdir -p own/handlers
cd own
rc=0
"$examples/enqueue" image:resize '{}' 2>err || rc=$?
[ "$rc" = 1 ] && grep -q 'there is no .lunaq/queue.db' err && [ ! -e .lunaq ]
private_run own "$examples/embed"
pid=$!
private_wait 15 "embed makes its queue file" test -e .lunaq/queue.db
private_wait 15 "enqueue finds it" "$examples/enqueue" image:resize '{"width":7}'
private_wait 15 "embed runs it" grep -q 'image:resize {"width":7}' "$PRIVATE/own.log"
"$lunaq" server stop --all
ended() { ! kill -0 "$pid"; }
private_wait 15 "embed obeys an order from afar" ended
wait "$pid"
