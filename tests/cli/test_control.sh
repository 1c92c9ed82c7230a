#!/usr/bin/env bash
# The verbs that look after a broker, as their users type them.
#
#     test_control.sh path/to/lunaq
set -uo pipefail
lunaq=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$here/../../scripts/private-servers.sh"

private_begin
trap private_end EXIT
private_redis || exit 77
cd "$PRIVATE" || exit 1
# shellcheck source=tests/cli/cli.sh
. "$here/cli.sh"

# ---- many tasks, another payload ---------------------------------------------------

for type in a b; do
  for n in 1 2 3; do good "enqueue_$type$n" "" enqueue "$type" --queue many --task-id "$type-task-$n"; done
done
good many_by_type "archived 3 tasks" task archive --all --type a
good many_by_type_and_queue "pending 3 tasks" task run --all --type a --queue many --state archived
good many_cancel_by_type "canceled 3 tasks" task cancel --all --type b --reason "not these"
good many_cancel_reason "not these" task show b-task-1
bad many_type_alone 2 "only with --all" task run --type a a-task-1
bad many_no_filter 2 "needs --queue" task run --all
bad cancel_retry_and_delete 2 "--retry and --delete" task cancel --retry --delete a-task-1
bad many_cancel_delete 2 "only by ID" task cancel --all --queue many --delete
good cancel_delete "a-task-1  deleted" task cancel --delete a-task-1
bad cancel_retry_waiting 1 "no attempt to end" task cancel --retry a-task-2
good update_pairs "a-task-2  updated" task update a-task-2 to=eve n:=3
good update_shows '{"n":3,"to":"eve"}' task show a-task-2
json update_json '"updated":	1' task update a-task-2 --payload '{"x":1}'
bad update_nothing 2 "give the new payload" task update a-task-2
bad update_both 2 "one or the other" task update a-task-2 k=v --payload '{}'
bad update_unknown 1 "no task" task update 01234567 k=v
good many_rm "" queue rm many --force

# ---- all about ---------------------------------------------------------------------

good about_enqueue "" enqueue hello --queue about --task-id about-1 --unique 1h k=v
good about_lock "locked for   59m" task show about-1
good about_key "unique       asynq:{about}:unique:hello:" task show about-1
json about_json '"orphaned":	false' task show about-1
r hset 'asynq:{about}:t:about-2' state active msg "$(r hget 'asynq:{about}:t:about-1' msg)" >/dev/null
r lpush 'asynq:{about}:active' about-2 >/dev/null
r zadd 'asynq:{about}:lease' 1000 about-2 >/dev/null
good about_orphan "orphaned" task ls --queue about --state active
good about_orphan_show "its holder is gone" task show about-2
good about_memory "memory " queue show about
good about_stats "MEMORY" stats
json about_memory_json '"memory_bytes":' queue show about
good about_two "pending" enqueue hello --queue about2
good about_several_show "queue            about2" queue show about about2
json about_several_json '"queue":	"about2"' queue show about about2
good about_several_pause "about2  paused" queue pause about about2
good about_several_resume "about  resumed" queue resume about about2
good about_history "about2" queue history about about2 --days 2
check about_history__lines "$(wc -l <<<"$out")" 9
json about_history_json '"queue":	"about2"' queue history about about2
bad about_rm_active 1 "active" queue rm about
good about_rm_several "about2  removed" queue rm about about2 --force
check about_rm__nothing_left "$(r keys '*about*')" ""

# ---- servers -----------------------------------------------------------------------

good server_stop_all_none "nobody was told" server stop --all
bad server_stop_unknown 1 "no server 01234567" server stop 01234567
bad server_show_unknown 1 "no server 01234567 lives" server show 01234567
bad server_stop_nobody 2 "usage: lunaq server stop" server stop
bad server_stop_both 2 "one or the other" server stop --all 01234567

# ---- doctor ------------------------------------------------------------------------

ill() { # NAME TEXT: exit 1, TEXT in the output
  run doctor
  [ "$rc" -eq 1 ] && [[ $out == *"$2"* ]]
  report "$1" $?
}
ill doctor_no_server "no server lives: nothing runs; start lunaqd"
ill doctor_no_aof "no append-only file; set appendonly yes"
r config set appendonly yes >/dev/null
ill doctor_aof "append-only file"
good doctor_enqueue "" enqueue hello --queue sick
good doctor_pause "" queue pause sick
ill doctor_unserved "'sick' is served by nobody; 1 task waits"
ill doctor_paused "'sick' is paused"
r config set maxmemory 100mb >/dev/null
r config set maxmemory-policy allkeys-lru >/dev/null
ill doctor_eviction "maxmemory-policy is allkeys-lru; set maxmemory-policy to noeviction"
r config set maxmemory-policy noeviction >/dev/null
r config set maxmemory 0 >/dev/null
r acl setuser poor on nopass '~asynq:*' '&*' +@all >/dev/null
run --broker "${LUNAQ_BROKER/redis-socket:\/\//redis-socket://poor:x@}" doctor
[ "$rc" -eq 1 ] && [[ $out == *"permissions"*"SET on its own keys"* ]]
report doctor_permissions $?
run doctor --json
[ "$rc" -eq 1 ] && [[ $out == *'"level":	"error"'*'"cure":	"start lunaqd'* ]]
report doctor_json $?
bad doctor_away 2 "--broker URL" --broker redis://127.0.0.1:1 doctor
good doctor_rm "" queue rm sick --force
r config set appendonly no >/dev/null

# ---- fsck ------------------------------------------------------------------------

good fsck_empty "0 queues, 0 tasks: clean" fsck
good fsck_enqueue "" enqueue hello --task-id fsck-1
good fsck_clean "1 queue, 1 task: clean" fsck
good fsck_one_queue "clean" fsck --queue default
bad fsck_unknown_queue 2 "no queue 'x'" fsck --queue x
bad fsck_broker_away 2 "--broker URL" --broker redis://127.0.0.1:1 fsck
r lpush 'asynq:{default}:pending' ghost >/dev/null
run fsck
[ "$rc" -eq 1 ] && [[ $out == *"default: task ghost is in pending and does not exist  [dangling]  repair: its id is taken out"* ]] &&
  [[ $out == *"1 fault; 'lunaq fsck --repair'"* ]]
report fsck_fault__is_told_with_its_cure $?
run fsck --json
[ "$rc" -eq 1 ] && [[ $out == *'"kind":	"dangling"'*'"repaired":	false'* ]]
report fsck_json $?
run fsck --repair
[ "$rc" -eq 1 ] && [[ $out == *"repaired: its id is taken out"*"1 fault, 1 repaired"* ]]
report fsck_repair $?
good fsck_again "clean" fsck --repair
good fsck_task_is_there "fsck-1" task show fsck-1

finish_tests
