#!/usr/bin/env bash
# Every verb of the command line program against a private Redis, and what it
# says to wrong input.
#
#     test_cli.sh path/to/lunaq
set -uo pipefail
lunaq=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$(dirname "$0")/../../scripts/private-servers.sh"

private_begin
trap private_end EXIT
private_redis || exit 77
cd "$PRIVATE" || exit 1
# shellcheck source=tests/cli/cli.sh
. "$here/cli.sh"

field() { r hget "asynq:{${3:-default}}:t:$1" "$2"; }
payload() { # ID: what show --json says of it
  "$lunaq" task show "$1" --json | sed -n 's/^\t"payload":\t"\(.*\)",$/\1/p'
}

# ---- without a broker's help ---------------------------------------------------

good version__is_printed "lunaq 0." version
good version_option "lunaq 0." --version
good help_all "task show" help
good help_option "queue pause" --help
good help_verb "--max-retry N" help enqueue
good help_noun "usage: lunaq queue rm NAME" help queue
good help_of_a_noun "usage: lunaq task show ID" task --help
good help_of_a_verb "usage: lunaq task ls" task ls --help
# The manual has every command and option that there is.
page=$here/../../core/bin/man/lunaq.1
while read -r verb; do
  # shellcheck disable=SC2086
  "$lunaq" $verb --help >help.txt
  grep -q "^.It Ic $verb\( \|$\)" "$page"
  report "page_has__${verb/ /_}" $?
  for option in $(sed -n 's/^  --\([a-z-]*\).*/\1/p' help.txt); do
    grep -q "Fl -$option\b" "$page"
    report "page_has__${verb/ /_}__$option" $?
  done
done < <("$lunaq" help | sed -n '5,/^$/s/^  \(.\{16\}\).*/\1/p')
bad no_command 2 "lunaq help"
bad version_of_what 2 "too much" version 1
bad help_of_too_much 2 "too much" help task ls 1
bad unknown_command 2 "did you mean 'queue'" qeue ls
bad unknown_verb 2 "did you mean 'show'" task shwo 1
bad noun_alone 2 "task what?" task
bad unknown_option 2 "did you mean --queue" enqueue x --queu y
bad single_dash 2 "two dashes" task ls -x
bad option_without_value 2 "--queue needs a value" enqueue x --queue
bad flag_with_value 2 "takes no value" task ls --json=1
bad unknown_option_before 2 "did you mean --broker" --brokr x queue ls
bad option_before_of_the_command 2 "'--queue' before the command" --queue x task ls
bad too_many_arguments 2 "too much" queue ls now
bad missing_argument 2 "usage: lunaq task show ID" task show
bad reload 2 "kill -HUP" reload
bad broker_url 1 "unknown scheme" --broker mysql://x queue ls
LUNAQ_BROKER=mysql://x bad broker_url_of_environment 1 "LUNAQ_BROKER: " queue ls
bad broker_away 1 "--broker URL" --broker redis://127.0.0.1:1 queue ls

# ---- empty ---------------------------------------------------------------------

good queue_ls_empty "no queues" queue ls
good task_ls_empty "no tasks" task ls
good server_ls_empty "lunaqd" server ls
good cron_ls_empty "no periodic" cron ls
bad cron_history_unknown 1 "no periodic entry 'nightly' (known: none)" cron history nightly
bad cron_history_unknown_json 1 "no periodic entry 'nightly'" cron history nightly --json
bad cron_history_of_what 2 "usage: lunaq cron history ENTRY" cron history
good handlers_empty "no handlers" handlers
good stats_empty "0 servers" stats
for what in "queue ls" "task ls" "server ls" "cron ls" "handlers"; do
  # shellcheck disable=SC2086
  json "${what/ /_}_empty_json" "[" $what
done
json stats_empty_json '"servers"' stats

# ---- enqueue -------------------------------------------------------------------

good enqueue_plain "pending in queue default" enqueue hello
good enqueue_pairs "pending" enqueue hello --task-id p1 b=2 'a:={"z":1,"y":[1, 2]}' \
  "q=say \"hi\"" big:=12345678901234567890
check enqueue_pairs__sorted_and_exact "$(payload p1)" \
  '{\"a\":{\"y\":[1,2],\"z\":1},\"b\":\"2\",\"big\":12345678901234567890,\"q\":\"say \\\"hi\\\"\"}'
good enqueue_text "pending" enqueue hello --task-id p2 --payload '{"a": 1}'
check enqueue_text__as_it_is "$(payload p2)" '{\"a\": 1}'
printf '[1,2]' >payload.json
good enqueue_file "pending" enqueue hello --task-id p3 --payload payload.json
check enqueue_file__its_bytes "$(payload p3)" '[1,2]'
out=$(printf 'raw\0bytes' | "$lunaq" enqueue hello --task-id p4 --payload -)
report enqueue_stdin $?
[[ $("$lunaq" task show p4 --json) == *'"payload_base64":	"cmF3AGJ5dGVz"'* ]]
report enqueue_stdin__bytes_as_base64 $?
good enqueue_options "scheduled in queue low" enqueue hello --queue low --task-id o1 \
  --max-retry 3 --timeout 90s --deadline 2h --process-in 5m --retention 1d \
  --header a=1 --header b=x=y
run task show o1 --json
for want in '"max_retry":	3' '"timeout_ms":	90000' '"retention_ms":	86400000' \
  '"a":	"1"' '"b":	"x=y"' '"state":	"scheduled"'; do
  [[ $out == *"$want"* ]]
  report "enqueue_options__$want" $?
done
good enqueue_none "pending" enqueue hello --task-id o2 --max-retry 0 --timeout 0 \
  --deadline 2h
[[ $("$lunaq" task show o2 --json) == *'"max_retry":	0,'*'"timeout_ms":	0,'* ]]
report enqueue_none__zero_is_none $?
good enqueue_at "scheduled" enqueue hello --task-id o3 --process-at 2040-01-31T12:00:00+01:00
check enqueue_at__score "$(r zscore 'asynq:{default}:scheduled' o3)" 2211620400
good enqueue_group "aggregating" enqueue hello --task-id o4 --queue low --group g
good enqueue_unique "pending" enqueue once --unique 1m k=v
json enqueue_json '"state":	"pending"' enqueue hello --task-id o5
good enqueue_durable_none ", durable: none" enqueue hello --durable none
json enqueue_durable_json '"durable":	"none"' enqueue hello --durable none
bad enqueue_durable__no_such_level 2 "give none, replica or fsync" \
  enqueue hello --durable disk
out=$("$lunaq" enqueue hello --task-id d1 --durable replica 2>&1)
[[ $? == 1 && $out == *"no replica had it"*"its id is d1"* ]]
report enqueue_durable__no_replica_is_there $?
good enqueue_durable__but_the_task_is "pending" task show d1
bad broker_tls_file 1 "ca=/none.pem: No such file" \
  queue ls --broker 'rediss://127.0.0.1:1?ca=/none.pem'
good enqueue_dashes "pending" enqueue hello -- --k=v
cat >batch.jsonl <<'END'
{"type":"many","task_id":"b1","payload":{"n":12345678901234567890,"b":"}"}}
{"type":"many","task_id":"b2","queue":"low","process_in":"5m","max_retry":0,"timeout":0,"headers":{"k":"v"}}

{"type":"many","task_id":"b1"}
{"type":"once","unique":"1m","payload":{"k":"v"}}
{"type":"many","quue":"low"}
{"type":"many","queue":"a{b}"}
no JSON
END
bad enqueue_batch__one_is_refused__fails 1 "5 of 7 tasks were refused" \
  enqueue --batch batch.jsonl
check enqueue_batch__payload_is_exact "$(payload b1)" \
  '{\"b\":\"}\",\"n\":12345678901234567890}'
check enqueue_batch__options "$("$lunaq" task show b2 --json |
  grep -cE '"(state":	"scheduled|queue":	"low|max_retry":	0|timeout_ms":	0)')" 4
out=$("$lunaq" enqueue --batch - <batch.jsonl 2>/dev/null)
check enqueue_batch__a_result_for_each "$(grep -c 'line . *refused: ' <<<"$out")" 7
for want in 'line 4  refused: a task with this id exists' \
  'line 5  refused: a task with this unique key' \
  'line 6  refused: unknown member "quue"' \
  "line 7  refused: queue \"a{b}\": '{' is not allowed" \
  'line 8  refused: it is not JSON'; do
  grep -qF "$want" <<<"$out"
  report "enqueue_batch__${want:0:6}" $?
done
echo '{"type":"many","p\u0061yload":{"k":1}}' >one.jsonl
run enqueue --batch one.jsonl
[ "$rc" -eq 1 ] && [[ $out == *"without escapes"* ]]
report enqueue_batch__payload_by_another_spelling__is_not_lost $?
for line in '{"type":"a\u0000b"}' '{"payload":1,"type":"many","task_id":"x\u0000y"}' \
  '{"type":"many","headers":{"k\u0000":"v"},"payload":1}'; do
  run enqueue --batch <(echo "$line")
  [ "$rc" -eq 1 ] && [[ $out == *'a \u0000 outside of its payload'* ]]
  report "enqueue_batch__nul__$line" $?
done
echo '{"type":"many","queue":"nul","payload":"a\u0000b","headers":{"k":"\\\\u0000"}}' >one.jsonl
good enqueue_batch__nul_in_the_payload "pending" enqueue --batch one.jsonl
good enqueue_batch__nul_rm "" queue rm nul --force
echo '{"type":"many"}' >one.jsonl
json enqueue_batch_json '"state":	"pending"' enqueue --batch one.jsonl
bad enqueue_batch_no_file 2 "No such file" enqueue --batch nofile
bad enqueue_batch_and_type 2 "nothing beside it" enqueue hello --batch one.jsonl
bad enqueue_duplicate 1 "same unique key" enqueue once --unique 1m k=v
bad enqueue_taken_id 1 "exists" enqueue hello --task-id p1
bad enqueue_no_type 2 "usage: lunaq enqueue TYPE" enqueue
bad enqueue_no_pair 2 "give k=v" enqueue hello word
bad enqueue_bad_json 2 "not JSON" enqueue hello k:=word
bad enqueue_open_json 2 "not JSON" enqueue hello 'k:={"a":1'
bad enqueue_twice 2 "given twice" enqueue hello k=1 k:=2
bad enqueue_bad_payload 2 "neither a file nor JSON" enqueue hello --payload nofile
bad enqueue_both 2 "one or the other" enqueue hello k=v --payload '{}'
bad enqueue_bad_number 2 "whole number" enqueue hello --max-retry many
bad enqueue_bad_duration 2 "90s" enqueue hello --timeout soon
bad enqueue_long_duration 2 "it is too long" enqueue hello --timeout 999999d
bad enqueue_short_lock 2 "give 1s or more" enqueue hello --unique 1ms
bad enqueue_bad_instant 2 "2026-01-31T12:00:00Z" enqueue hello --process-at tomorrow
bad enqueue_no_such_day 2 "2026-01-31T12:00:00Z" enqueue hello --process-at 2040-02-30T12:00
bad enqueue_at_and_in 2 "one or the other" enqueue hello --process-in 5m --process-at 2040-01-01T00:00
bad enqueue_bad_header 2 "give K=V" enqueue hello --header x
bad enqueue_bad_queue 2 "queue" enqueue hello --queue '{x}'
bad enqueue_bad_type 2 "type" enqueue ' '

# ---- enqueue --wait: a worker of few words -------------------------------------

# finish STATE FIELD VALUE: waits for a task of queue w and ends it like that
finish() {
  r eval '
    local id = redis.call("RPOP", "asynq:{w}:pending")
    if not id then return 0 end
    redis.call("HSET", "asynq:{w}:t:" .. id, "state", ARGV[1], ARGV[2], ARGV[3])
    redis.call("ZADD", "asynq:{w}:" .. ARGV[1], 4000000000, id)
    return 1' 0 "$@" | grep -q 1
}
private_wait 10 "a task to complete" finish completed result '"Hello, Bob"' &
good wait_completed 'succeeded in ' enqueue hello --queue w --wait name=Bob
[[ $out == *' ms'*'→ "Hello, Bob"' || $out == *' s'*'→ "Hello, Bob"' ]]
report wait_completed__result $?
wait $!
private_wait 10 "a task to archive" finish archived x y &
bad wait_archived 1 "it failed" enqueue hello --queue w --wait
wait $!
private_wait 10 "a task to complete" finish completed result 42 &
json wait_json '"result":	"42"' enqueue hello --queue w --wait
wait $!
bad wait_bound 1 "still pending after" enqueue hello --queue w --wait-timeout 50ms

# ---- tasks ---------------------------------------------------------------------

good task_ls "hello" task ls
good task_ls_state "o1" task ls --queue low --state scheduled
good task_ls_group "o4" task ls --queue low --state aggregating --group g
good task_ls_page "ID" task ls --queue default --state pending --size 2 --page 2
check task_ls_page__lines "$(wc -l <<<"$out")" 3
json task_ls_json '"id":	"o1"' task ls
bad task_ls_state_typo 2 "did you mean pending" task ls --state pendign
bad task_ls_queue_typo 1 "no queue 'lo'" task ls --queue lo
bad task_ls_size 2 "1 to 1000" task ls --size 1001
bad task_ls_group_alone 2 "aggregating" task ls --group g
good task_show "state        scheduled" task show o1
json task_show_json '"queue":	"low"' task show o1 --queue low
bad task_show_unknown 1 "no task" task show 01234567
bad task_show_short 1 "6 characters" task show 0123
good same_end_1 "" enqueue hello --queue low --task-id a-same-end
good same_end_2 "" enqueue hello --task-id b-same-end
good task_show_tail "id           a-same-end" task show same-end --queue low
run task show same-end
[ "$rc" -eq 1 ] && [[ $out == *b-same-end*a-same-end* ]] &&
  [[ $err == *"give more of it"* ]]
report task_show_ambiguous__lists_both $?

# ids args…: those that task ls lists, in its order
ids() {
  "$lunaq" task ls "$@" --json | sed -n 's/^[[:space:]]*"id":\t"\(.*\)",$/\1/p' |
    xargs
}
for n in 1 2 3 4 5; do
  good "pages_$n" "" enqueue hello --queue pages --task-id "page-task-$n"
done
check task_ls__size__is_a_page "$(ids --queue pages --size 2)" \
  "page-task-1 page-task-2"
check task_ls__page__is_the_one_asked_for \
  "$(ids --queue pages --size 2 --page 2)" "page-task-3 page-task-4"
check task_ls__last_page__is_the_rest \
  "$(ids --queue pages --size 2 --page 3)" "page-task-5"
for group in red blue; do
  for n in 1 2 3; do
    good "grouped_$group$n" "aggregating" enqueue hello --queue grouped \
      --group "$group" --task-id "$group-task-$n"
  done
done
good grouped_elsewhere "aggregating" enqueue hello --queue grouped2 --group green
check task_ls__group__lists_only_its \
  "$(ids --queue grouped --state aggregating --group blue)" \
  "blue-task-1 blue-task-2 blue-task-3"
run group ls --queue grouped --json
[[ $out == *'"red"'* && $out != *'"green"'* ]]
report group_ls__queue__lists_only_its $?
good task_run__all_of_a_group__only_its "pending 3 tasks" task run --all \
  --queue grouped --state aggregating --group blue
check task_run__all_of_a_group__left_the_other \
  "$(ids --queue grouped --state aggregating)" \
  "red-task-1 red-task-2 red-task-3"
good task_archive__all_of_a_state__only_its "archived 3 tasks" task archive \
  --all --queue grouped --state pending
check task_archive__all_of_a_state__left_the_others \
  "$(ids --queue grouped --state aggregating)" \
  "red-task-1 red-task-2 red-task-3"
good task_delete__all_of_a_queue__only_its "deleted 6 tasks" task delete --all \
  --queue grouped --type hello
check task_delete__all_of_a_queue__left_the_others "$(ids --queue pages)" \
  "page-task-1 page-task-2 page-task-3 page-task-4 page-task-5"
good pages_rm "" queue rm pages grouped grouped2 --force

good task_run "o1  pending" task run o1
bad task_run_again 1 "already" task run o1
good task_archive "o1  archived" task archive o1
good task_archive__says_when "archived     20" task show o1
json task_archive__says_when_json '"archived_at":	1' task show o1
good task_run_archived "o1  pending" task run o1
good task_delete "o1  deleted" task delete o1
bad task_delete_gone 1 "no task" task delete o1
good task_several "p2  deleted" task delete p1 p2
run task delete p3 nobody-here p4
[ "$rc" -eq 1 ] && [[ $out == *p3*p4* ]] && [[ $err == *nobody-here* ]]
report task_several__goes_on_after_a_failure $?
json task_delete_json '"deleted":	1' task delete o5
# Fields 6 and 11 of the message: it was retried once, and failed at second 1.
good attempt_enqueue "" enqueue x --task-id att --queue att
r eval "local m = redis.call('HGET', KEYS[1], 'msg')
  redis.call('HSET', KEYS[1], 'msg', m .. '0\\1X\\1')" 1 'asynq:{att}:t:att' >/dev/null
good attempt_archive "att  archived" task archive att
good attempt__archived_by_hand_while_it_waits "attempt      1/26" task show att
r zadd 'asynq:{att}:archived' 1 att >/dev/null
good attempt__archived_by_its_failure "attempt      2/26" task show att
good attempt_enqueue_more "" enqueue x --task-id atc --queue att
r eval "local m = redis.call('HGET', KEYS[1], 'msg')
  redis.call('HSET', KEYS[1], 'msg', m .. '0\\1X\\1')" 1 'asynq:{att}:t:atc' >/dev/null
good attempt_cancel "atc  canceled" task cancel atc
good attempt__canceled_while_it_waits "attempt      1/26" task show atc
good attempt_rm "" queue rm att --force
good task_cancel "b-same-end  canceled" task cancel b-same-end --reason "not needed"
good task_cancel_reason "not needed" task show b-same-end
bad task_cancel_archived 1 "archived" task cancel b-same-end
good task_archive_all "archived " task archive --all --queue default --state pending
check task_archive_all__moved "$(r llen 'asynq:{default}:pending')" 0
good task_run_all "pending " task run --all --queue default --state archived
good task_cancel_all "canceled " task cancel --all --queue default --state pending
check task_cancel_all__moved "$(r llen 'asynq:{default}:pending')" 0
good task_delete_all "deleted " task delete --all --queue default --state archived
check task_delete_all__moved "$(r zcard 'asynq:{default}:archived')" 0
good task_delete_one "deleted 1 task" task delete --all --queue low --state aggregating
json task_delete_all_json '"deleted":	0' task delete --all --queue low --state retry
bad task_all_alone 2 "needs --queue" task delete --all
bad task_all_and_id 2 "one or the other" task delete --all x --queue low --state retry
bad task_state_alone 2 "only with --all" task run --state retry x
bad task_all_impossible 1 "cannot run all pending" task run --all --queue low --state pending
bad task_all_queue_typo 1 "no queue 'lwo'" task delete --all --queue lwo --state retry

# ---- text cannot play tricks ---------------------------------------------------

r hset 'asynq:{default}:t:esc' state archived msg 'x' >/dev/null
r zadd 'asynq:{default}:archived' 1 "$(printf 'esc\033[31m')" >/dev/null
run task ls --state archived
[ "$rc" -eq 0 ] && ! grep -q $'\033' <<<"$out"
report task_ls__no_escape_gets_through $?
r del 'asynq:{default}:archived' 'asynq:{default}:t:esc' >/dev/null

# Ids that are no UTF-8, and what a terminal obeys: the JSON is JSON all the same.
bytes=$(printf 'h-b\xff\xfed')
bad odd_bytes_id 2 "byte 3 is not UTF-8" enqueue hello --task-id "$bytes"
good odd_bytes_enqueue "" enqueue hello --queue bytes --task-id id-bytes \
  --header c1="$(printf 'a\302\233b\177')"
r zadd 'asynq:{bytes}:archived' 1 "$bytes" >/dev/null
json odd_bytes_json '"id_base64":	"aC1i//5k"' task ls --queue bytes
[[ $out == *'"c1":	"a\u009bb\u007f"'* ]]
report odd_bytes_json__no_command_gets_through $?
good odd_bytes_show "c1=a??b?" task show id-bytes
good odd_bytes_rm "" queue rm bytes --force

# ---- queues --------------------------------------------------------------------

good queue_ls "low" queue ls
json queue_ls_json '"queue":	"low"' queue ls
good queue_show "queue            low" queue show low
json queue_show_json '"paused":	false' queue show low
bad queue_show_unknown 1 "known: default, low" queue show lwo
good queue_pause "low  paused" queue pause low
bad queue_pause_again 1 "paused already" queue pause low
good queue_ls_paused "paused" queue ls
json queue_resume_json '"resumed":	1' queue resume low
json queue_pause_json '"paused":	1' queue pause low
good queue_resume "low  resumed" queue resume low
bad queue_resume_again 1 "not paused" queue resume low
for verb in pause resume rm history show; do
  bad queue_${verb}_unknown 1 "no queue 'x' (known: default, low" queue $verb x
done
bad group_ls_unknown 1 "no queue 'x' (known: default" group ls --queue x
bad cancel_all_impossible 1 "cannot cancel all archived tasks" task cancel --all --state archived
bad end_attempts_impossible 1 "cannot end an attempt of pending tasks" \
  task cancel --all --retry --state pending
r set asynq:servers x >/dev/null
run stats
[ "$rc" -eq 1 ] && [[ $out == *default* && $out != *"servers,"* && $err == *"servers: WRONGTYPE"* ]]
report stats_servers_odd__queues_are_shown $?
r del asynq:servers >/dev/null
r acl setuser poor on nopass '~asynq:*' '&*' +@read +eval +evalsha '+script|load' >/dev/null
bad no_rights 1 "lunaq doctor" enqueue x \
  --broker "${LUNAQ_BROKER/redis-socket:\/\//redis-socket://poor:x@}"
r acl deluser poor >/dev/null
r set 'asynq:{low}:retry' x >/dev/null
bad move_odd 1 "move: queue 'low': redis: " move "$LUNAQ_BROKER" "sqlite:$PRIVATE/moved.db"
r del 'asynq:{low}:retry' >/dev/null
bad move_away 1 "start it, or correct the URL" move "$LUNAQ_BROKER" redis://127.0.0.1:1
bad move_empty_url 2 "a URL is empty" move "" ""
bad broker_empty 1 "its value is empty" queue ls --broker ""
good queue_history "0" queue history low --days 3
check queue_history__lines "$(wc -l <<<"$out")" 4
json queue_history_json "\"day\":	\"$(date -u +%F)\"" queue history low
bad queue_history_days 2 "1 to 90" queue history low --days 91
bad queue_rm__holds_tasks__needs_force 1 "holds tasks: --force " queue rm low
good queue_rm "low  removed" queue rm low --force
check queue_rm__nothing_left "$(r keys '*{low}*')" ""
bad queue_rm_again 1 "no queue 'low'" queue rm low

# A key of a wrong type takes only its own queue away.
r sadd asynq:queues odd >/dev/null
r set 'asynq:{odd}:pending' x >/dev/null
bad queue_ls_odd_told 1 "queue 'odd': redis: queue stats: WRONGTYPE" queue ls
grep -q '^default ' <<<"$out"
report queue_ls_odd_others_listed $?
bad stats_odd_told 1 "queue 'odd': " stats
grep -q '^default ' <<<"$out"
report stats_odd_others_listed $?
bad queue_show_odd 1 "WRONGTYPE" queue show odd
run doctor
[ "$rc" -eq 1 ] && grep -q "^error  queue .*'odd': redis: .*WRONGTYPE" <<<"$out"
report doctor_odd_told $?
run fsck --queue odd
[ "$rc" -eq 1 ] && grep -q "not a list" <<<"$out"
report fsck_odd_told $?
bad enqueue_odd 1 "WRONGTYPE" enqueue x --queue odd
r del 'asynq:{odd}:pending' >/dev/null
r srem asynq:queues odd >/dev/null

# others NAME EXPECTED args…: exit 1, the odd queue told on stderr, EXPECTED of
# the others in the output
others() {
  local name=$1 text=$2
  shift 2
  run "$@"
  [ "$rc" -eq 1 ] && [[ $out == *"$text"* ]] &&
    [[ $err == "lunaq: queue 'odd': redis: "*WRONGTYPE* ]] && [ "$(wc -l <err.txt)" -eq 1 ]
  report "$name" $?
}
for key in pending groups; do
  good "walk_${key}__enqueue_odd" "" enqueue walk-$key --queue odd --task-id odd-task-$key \
    --process-in 1h
  for queue in near zone; do
    good "walk_${key}__enqueue_$queue" "" enqueue walk-$key --queue $queue --task-id "$key-$queue"
    good "walk_${key}__enqueue_group_$queue" "" enqueue walk-$key --queue $queue --group g-$queue
  done
  r set "asynq:{odd}:$key" x >/dev/null
  others "walk_${key}__queue_ls" "zone " queue ls
  others "walk_${key}__stats" "zone " stats
  others "walk_${key}__task_ls" "$key-zone" task ls
  [[ $out == *"$key-near"* && $out == *odd-task-$key* ]]
  report "walk_${key}__task_ls__what_can_be_read_of_it_too" $?
  run task ls --json
  [ "$rc" -eq 1 ] && [[ $out == *"\"id\":	\"$key-zone\""* && $err == *"queue 'odd'"* ]]
  report "walk_${key}__task_ls_json" $?
  others "walk_${key}__one_queue" "odd-task-$key" task ls --queue odd
  good "walk_${key}__one_state" "odd-task-$key" task ls --queue odd --state scheduled
  good "walk_${key}__a_tail_of_an_id" "id           $key-zone" task show "${key#?}-zone"
  good "walk_${key}__an_id" "odd-task-$key" task show odd-task-$key
  bad "walk_${key}__an_id_of_nobody" 1 "no task nobody-has-it" task show nobody-has-it
  others "walk_${key}__cancel_none" "" task cancel --all --type nothing
  others "walk_${key}__archive_all" "archived 5 tasks" task archive --all --type walk-$key
  run doctor
  [ "$rc" -eq 1 ] && [[ $out == *"'odd': redis: "* && -z $err ]]
  report "walk_${key}__doctor" $?
  run fsck
  [ "$rc" -eq 1 ] && [[ $out == *"key asynq:{odd}:$key is a string"* && -z $err ]]
  report "walk_${key}__fsck" $?
  r del "asynq:{odd}:$key" >/dev/null
  good "walk_${key}__delete" "deleted 5 tasks" task delete --all --type walk-$key
done
r set 'asynq:{odd}:groups' x >/dev/null
good walk_group_enqueue "" enqueue hello --queue zone --group g-zone
others walk_group_ls "g-zone" group ls
run group ls --json
[ "$rc" -eq 1 ] && [[ $out == *'"group":	"g-zone"'* && $err == *"queue 'odd'"* ]]
report walk_group_ls_json $?
r del 'asynq:{odd}:groups' >/dev/null
good walk_rm "" queue rm near odd zone --force

# ---- the way to the broker ------------------------------------------------------

url=$LUNAQ_BROKER
unset LUNAQ_BROKER
good broker_option_first "default" --broker "$url" queue ls
good broker_option_last "default" queue ls --broker "$url"
REDIS_URL=$url good broker__named_by_redis_url "default" queue ls
REDIS_URL=redis://127.0.0.1:1 LUNAQ_BROKER=$url good broker__lunaq_broker_goes_first "default" queue ls
REDIS_ADDR=127.0.0.1:1 bad broker_redis_addr 1 "127.0.0.1:1" queue ls
good prefix_option "no queues" --prefix shop --broker "$url" queue ls
LUNAQ_PREFIX=shop good prefix_enqueue "" --broker "$url" enqueue t --queue own
check prefix_enqueue__its_own_keys "$(r keys 'shop:queues')" "shop:queues"
good prefix_url "own" --broker "$url?prefix=shop" queue ls
bad prefix_twice 1 "only one of them" --prefix mail --broker "$url?prefix=shop" queue ls
bad prefix_wrong 1 "character 1" --prefix '{x}' --broker "$url" queue ls
LUNAQ_BROKER='' REDIS_URL=$url good broker_empty_is_unset "default" queue ls
export LUNAQ_BROKER=$url
good stats "TOTAL" stats
json stats_json '"queues"' stats

for verb in "1 task ls" "2 doctor" "2 fsck" "1 help" "1 version"; do
  # shellcheck disable=SC2086
  "$lunaq" ${verb#? } >/dev/full 2>err.txt
  rc=$? err=$(<err.txt)
  [ "$rc" -eq "${verb%% *}" ] && [[ $err == *"cannot be written"* ]]
  report "output_full__${verb#? }__is_told" $?
done
# Closed files are not those that are opened next: nothing is printed to Redis.
before=$(r info errorstats)
"$lunaq" task ls --size 1000 0<&- >&- 2>&-
check output_closed__is_no_trouble "$?" 0
check output_closed__nothing_goes_to_redis "$(r info errorstats)" "$before"
# Less than a pipe takes, and more.
for count in 1 3000; do
  yes '{"type":"pipe","queue":"pipe","payload":{"text":"so that the list is long"}}' |
    head -$count | "$lunaq" enqueue --batch - >/dev/null
  # Its output goes to a reader that is gone before anything is written.
  {
    trap '' PIPE
    while echo 2>/dev/null; do :; done # until it is gone
    "$lunaq" task ls --queue pipe --size 1000 2>err.txt
    echo $? >rc.txt
  } | true
  rc=$(<rc.txt) out='' err=$(<err.txt)
  [ "$rc" -eq 0 ] && [ -z "$err" ]
  report "reader_gone__$count""__is_no_trouble" $?
  rm rc.txt
done
good reader_gone_rm "" queue rm pipe --force

finish_tests
