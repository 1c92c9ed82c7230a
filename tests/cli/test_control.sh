#!/usr/bin/env bash
# The verbs that look after a broker, as their users type them: fsck.
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
