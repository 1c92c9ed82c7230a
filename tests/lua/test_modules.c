/* queue, log, lunaq, task:result: what handlers ask of the broker, and what
 * they get. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "broker/inspect.h"
#include "lua/world.h"

static bool gc;

/* ---- a broker made of a few answers ---------------------------------------
 */

/* What an enqueue looked like, as text; each on a line. */
static char seen[32000];

static void note_item(const lq_enqueue *e)
{
    size_t n = strlen(seen);
    const lq_task *t = &e->task;
    snprintf(seen + n, sizeof seen - n,
             "%.*s %.*s %.*s retry=%d timeout=%d retention=%d unique=%d "
             "delayed=%d group=%.*s headers=%zu\n",
             LQ_STR_ARG(t->type), LQ_STR_ARG(t->queue), LQ_STR_ARG(t->payload),
             (int)t->max_retry, (int)t->timeout_s, (int)t->retention_s,
             (int)e->unique_s, e->process_at_ms > 0, LQ_STR_ARG(t->group_key),
             t->header_count);
}

static void answer_enqueue(lq_op_enqueue *op)
{
    assert_true(op->count <= LQ_BATCH_MAX);
    for (size_t i = 0; i < op->count; i++) {
        lq_enqueue *e = op->items[i];
        note_item(e);
        e->code =
            lq_str_eq(e->task.type, LQ_STR("taken")) ? LUNAQ_EEXIST : LUNAQ_OK;
        if (lq_str_eq(e->task.type, LQ_STR("locked")))
            e->code = LUNAQ_EDUPLICATE;
        if (lq_str_eq(e->task.type, LQ_STR("away")))
            op->op.rc = lq_fail(&op->op.err, LUNAQ_EBROKER, "redis is away");
    }
}

static void answer_get(lq_op_task_get *op)
{
    /* "both" is in two queues, "none" in none. */
    size_t n = lq_str_eq(op->id, LQ_STR("both"))   ? 2
               : lq_str_eq(op->id, LQ_STR("none")) ? 0
                                                   : 1;
    op->rows = lq_arena_alloc(&op->op.mem, 2 * sizeof *op->rows);
    assert_non_null(op->rows);
    op->count = n;
    for (size_t i = 0; i < n; i++)
        op->rows[i].queue = op->queues[op->queue_count - 1 - i];
}

static void answer(world *w, lq_op *op)
{
    (void)w;
    switch (op->kind) {
    case LQ_OP_ENQUEUE:
        answer_enqueue((lq_op_enqueue *)op);
        break;
    case LQ_OP_QUEUES: {
        lq_op_queues *q = (lq_op_queues *)op;
        q->names = lq_arena_alloc(&op->mem, 2 * sizeof *q->names);
        assert_non_null(q->names);
        q->names[0] = LQ_STR("default");
        q->names[1] = LQ_STR("low");
        q->count = 2;
        break;
    }
    case LQ_OP_TASK_GET:
        answer_get((lq_op_task_get *)op);
        break;
    case LQ_OP_CANCEL: {
        lq_op_cancel *c = (lq_op_cancel *)op;
        size_t n = strlen(seen);
        snprintf(seen + n, sizeof seen - n, "cancel %.*s %.*s %.*s\n",
                 LQ_STR_ARG(c->queue), LQ_STR_ARG(c->id),
                 LQ_STR_ARG(c->reason));
        c->was = LUNAQ_PENDING;
        if (lq_str_eq(c->id, LQ_STR("done")))
            op->rc = lq_fail(&op->err, LUNAQ_ESTATE, "it is completed");
        break;
    }
    case LQ_OP_QUEUE_STATS: {
        lq_op_queue_stats *s = (lq_op_queue_stats *)op;
        s->info.pending = 3;
        s->info.latency_ms = 1500;
        if (lq_str_eq(s->queue, LQ_STR("nope")))
            op->rc = lq_fail(&op->err, LUNAQ_ENOTFOUND, "no queue \"nope\"");
        break;
    }
    case LQ_OP_QUEUE_PAUSE: {
        lq_op_queue_pause *p = (lq_op_queue_pause *)op;
        if (!p->pause)
            op->rc = lq_fail(&op->err, LUNAQ_ESTATE, "it is not paused");
        break;
    }
    case LQ_OP_RESULT: {
        lq_op_result *r = (lq_op_result *)op;
        size_t n = strlen(seen);
        snprintf(seen + n, sizeof seen - n, "result %.*s %.*s %u %.*s\n",
                 LQ_STR_ARG(r->queue), LQ_STR_ARG(r->id), r->token,
                 LQ_STR_ARG(r->data));
        break;
    }
    default:
        fail_msg("unexpected operation %d", (int)op->kind);
    }
}

typedef struct row {
    const char *name;
    const char *body;
    const char *result; /* NULL: it fails with message */
    const char *message;
    const char *seen; /* part of what the broker saw */
} row;

static const row rows[] = {
    {"enqueue__of_a_table__says_how_it_is_written", "queue.enqueue{type = 'x'}",
     NULL, "write queue.enqueue(type, payload, options)", ""},
    {"enqueue__options_that_are_no_table__are_said",
     "queue.enqueue('x', {}, '5m')", NULL,
     "options: a string, where a table such as", ""},
    {"enqueue__option_of_another_system__is_answered",
     "queue.enqueue('x', {}, {delay = '5m'})", NULL,
     "unknown option 'delay'; did you mean 'process_in'?", ""},
    {"enqueue_many__item_without_a_type__says_how_it_is_written",
     "queue.enqueue_many{{'x'}}", NULL,
     "item 1 has no type: write {type = \"a:b\", payload", ""},
    {"cancel__misspelt_option__is_refused", "queue.cancel('x', {quue = 'low'})",
     NULL, "options: unknown member 'quue' (known: queue reason retry)", ""},
    {"run__misspelt_option__is_refused", "queue.run('x', {quue = 'low'})", NULL,
     "options: unknown member 'quue' (known: queue)", ""},
    {"result__without_a_colon__says_so", "task.result('x')", NULL,
     "write task:result(value), with a colon", ""},
    {"sleep__without_a_duration__says_what_one_is", "lunaq.sleep()", NULL,
     "duration (\"5m\", or seconds) expected, got no value", ""},
    {"enqueue__returns_the_id",
     "local id = queue.enqueue('x', {b = 1, a = 'y'}) return #id", "36", NULL,
     "x default {\"a\":\"y\",\"b\":1} retry=25 timeout=1800 retention=0 "
     "unique=0 delayed=0 group= headers=0\n"},
    {"enqueue_without_payload__sends_none", "queue.enqueue('x') return 1", "1",
     NULL, "x default  retry=25"},
    {"enqueue_of_text__is_json", "queue.enqueue('x', 'hi') return 1", "1", NULL,
     "x default \"hi\" retry"},
    {"enqueue_raw__sends_the_bytes",
     "queue.enqueue('x', nil, {raw = task.raw}) return 1", "1", NULL,
     "x default {} retry"},
    {"enqueue_with_options__sends_them",
     "queue.enqueue('x', {}, {queue = 'ai', max_retry = 0, timeout = '90s', "
     "retention = '1h', unique = '10m', process_in = 60, headers = {a = 'b', c "
     "= 'd'}}) return 1",
     "1", NULL,
     "x ai {} retry=0 timeout=90 retention=3600 unique=660 delayed=1 group= "
     "headers=2"},
    {"enqueue_with_an_id__keeps_it",
     "return queue.enqueue('x', nil, {task_id = 'mine', group = 'g'})", "mine",
     NULL, "group=g"},
    {"enqueue__takes_the_rest_from_the_handler_file",
     "queue.enqueue('other', {user = 5, n = 1}) return 1", "1", NULL,
     "other low {\"n\":1,\"user\":5} retry=3 timeout=60 retention=86400 "
     "unique=3600"},
    {"enqueue__call_wins_over_the_handler_file",
     "queue.enqueue('other', {user = 5}, {queue = 'q', max_retry = 9, timeout "
     "= "
     "0, unique = 0, retention = 0}) return 1",
     "1", NULL, "other q {\"user\":5} retry=9 timeout=0 retention=0 unique=0"},
    {"enqueue_with_a_typo__suggests",
     "queue.enqueue('x', {}, {max_retrys = 1})", NULL,
     "unknown option 'max_retrys'; did you mean 'max_retry'?", NULL},
    {"enqueue_with_a_typo_in_unique__names_it",
     "queue.enqueue('x', {}, {unique = {ttl = 5, bye = {'a'}}})", NULL,
     "unique: unknown member 'bye' (known: ttl by)", NULL},
    {"enqueue_with_a_wrong_value__names_it",
     "queue.enqueue('x', {}, {timeout = {}})", NULL,
     "timeout: a table, where a duration", NULL},
    {"enqueue_of_a_function__names_the_place",
     "queue.enqueue('x', {f = print})", NULL, "payload: ", NULL},
    {"enqueue_into_a_bad_queue__is_refused",
     "queue.enqueue('x', {}, {queue = 'a{b}'})", NULL, "queue", NULL},
    {"enqueue_of_a_known_id__raises", "queue.enqueue('taken')", NULL,
     "a task with this id exists", NULL},
    {"try_enqueue_of_a_known_id__returns_the_error",
     "local id, e = queue.try_enqueue('taken') return tostring(id) .. e.kind",
     "nilconflict", NULL, NULL},
    {"try_enqueue_of_a_locked_one__returns_the_error",
     "local id, e = queue.try_enqueue('locked') return tostring(id) .. e.kind",
     "nilduplicate", NULL, NULL},
    {"try_enqueue_that_works__returns_the_id", "return #queue.try_enqueue('x')",
     "36", NULL, NULL},
    {"enqueue_with_the_broker_away__fails_with_kind_and_line",
     "queue.enqueue('away')", NULL,
     "t.lua:2: queue.enqueue: redis is away\n  t.lua:2: in", NULL},
    {"enqueue_in_pcall__is_caught",
     "local ok, e = pcall(queue.enqueue, 'away') return e.kind .. ': ' .. e",
     "broker: queue.enqueue: redis is away", NULL, NULL},
    {"enqueue_many__returns_ids",
     "local r, n = queue.enqueue_many{{type = 'x', payload = 1}, {type = 'x', "
     "payload = 2, queue = 'low'}} return #r .. #r[2].id .. "
     "tostring(r[2].error) "
     ".. n",
     "236nil0", NULL, "x low 2 retry"},
    {"enqueue_many__tells_who_was_refused_and_why",
     "local r, n = queue.enqueue_many{{type = 'x'}, {type = 'taken'}, {type = "
     "'locked'}} return #r[1].id .. r[2].kind .. tostring(r[2].id) .. "
     "r[3].kind "
     ".. r[3].error .. n",
     "36conflictnilduplicatea task with this unique key is waiting or running2",
     NULL, NULL},
    {"enqueue_many_of_250__goes_in_batches",
     "local t = {} for i = 1, 250 do t[i] = {type = 'x', payload = i} end "
     "return #queue.enqueue_many(t)",
     "250", NULL, "x default 33 retry"},
    {"enqueue_many_with_the_broker_away_at_once__raises",
     "queue.enqueue_many{{type = 'x'}, {type = 'away'}}", NULL,
     "queue.enqueue_many: redis is away", NULL},
    {"enqueue_many_with_the_broker_away_midway__tells_of_each",
     "local t = {} for i = 1, 250 do t[i] = {type = i == 150 and 'away' or "
     "'x'} end local r, n = queue.enqueue_many(t) return n .. ' ' .. "
     "#r[100].id "
     ".. ' ' .. r[101].kind .. ' ' .. r[101].error .. ' ' .. r[250].error",
     "150 36 broker redis is away not sent: the batch before it failed", NULL,
     NULL},
    {"enqueue_many_with_a_fault__names_the_item",
     "queue.enqueue_many{{type = 'x'}, {kind = 'x'}}", NULL,
     "queue.enqueue_many: item 2 has no type", NULL},
    {"enqueue_many_of_none__is_empty", "return #queue.enqueue_many{}", "0",
     NULL, NULL},
    {"cancel_by_id__finds_the_queue", "return queue.cancel('abc')", "pending",
     NULL, "cancel low abc by t\n"},
    {"cancel_with_queue_and_reason__says_it",
     "return queue.cancel('abc', {queue = 'ai', reason = 'no money'})",
     "pending", NULL, "cancel ai abc no money\n"},
    {"cancel_of_an_unknown_id__raises", "queue.cancel('none')", NULL,
     "no queue has this task", NULL},
    {"cancel_of_an_id_in_two_queues__raises", "queue.cancel('both')", NULL,
     "more than one queue", NULL},
    {"cancel_of_a_completed_one__says_so",
     "local ok, e = queue.try_cancel('done') return e.kind", "state", NULL,
     NULL},
    {"info__has_numbers",
     "local i = queue.info('default') return i.name .. i.pending .. i.latency "
     ".. tostring(i.paused)",
     "default31.5false", NULL, NULL},
    {"info_of_no_queue__raises", "queue.info('nope')", NULL,
     "queue.info: no queue \"nope\"", NULL},
    {"pause_and_resume__tell_whether_it_changed",
     "return tostring(queue.pause('a')) .. tostring(queue.resume('a'))",
     "truefalse", NULL, NULL},
    {"queue_in_sort__is_a_clear_error",
     "table.sort({2, 1}, function() queue.enqueue('x') end)", NULL,
     "queue.enqueue cannot wait inside a sort comparator", NULL},
    {"result_mid_run__is_stored", "task:result({done = 1}) return 'end'", "end",
     NULL,
     "result default 01890a5d-ac96-774b-bcce-b302099a8057 7 "
     "{\"done\":1}\n"},
    {"result_that_is_no_json__raises", "task:result(print)", NULL,
     "task:result: ", NULL},
    {"log_with_fields__is_written",
     "log.warn('not ready', {status = 'paused', n = 5, list = {1, 2}, f = "
     "print, ok = true}) return 1",
     "1", NULL, NULL},
    {"log_without_a_message__is_misuse", "log.info()", NULL,
     "bad argument #1 to 'info'", NULL},
    {"uuid__is_one", "return (lunaq.uuid():gsub('%x', 'h'))",
     "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", NULL, NULL},
    {"now__is_close_to_os_time", "return math.abs(lunaq.now() - os.time()) < 5",
     "true", NULL, NULL},
    {"env_allowed__is_read", "return tostring(lunaq.env('LUNAQ_TEST_ALLOWED'))",
     "yes", NULL, NULL},
    {"sleep_of_nonsense__is_misuse", "lunaq.sleep('soon')", NULL,
     "bad argument #1 to 'sleep'", NULL},
    {"sleep_of_a_negative_time__is_misuse", "lunaq.sleep(-1)", NULL,
     "bad argument #1 to 'sleep'", NULL},
};

static world *open_with(const char *body)
{
    char source[3000];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    w->answer = answer;
    seen[0] = 0;
    snprintf(source, sizeof source, "return function(task)\n%s\nend\n", body);
    world_write(w, "handlers/t.lua", source);
    world_write(w, "handlers/other.lua",
                "return {queue = 'low', max_retry = 3, timeout = '1m', "
                "retention = '1d', unique = {by = {'user'}, ttl = '1h'}, run = "
                "function() end}");
    world_open(w);
    return w;
}

static void check(void **state)
{
    const row *c = *state;
    int64_t before = lq_alloc_live();
    world *w = open_with(c->body);
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    if (c->result) {
        if (r->kind != LQ_SUCCEEDED)
            fail_msg("%s", r->message);
        assert_string_equal(r->result, c->result);
    } else {
        if (r->kind != LQ_FAILED)
            fail_msg("verdict %d, result %s", r->kind, r->result);
        if (!strstr(r->message, c->message))
            fail_msg("message: %s", r->message);
    }
    if (c->seen && !strstr(seen, c->seen))
        fail_msg("the broker saw: %s", seen);
    world_end(r);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

/* The lock of unique.by: from the named members alone, whatever their order and
 * whatever else the payload holds. */
static char keys[2][LUNAQ_NAME_MAX * 2 + 80];
static size_t key_count;

static void keep_key(world *w, lq_op *op)
{
    (void)w;
    lq_op_enqueue *e = (lq_op_enqueue *)op;
    snprintf(keys[key_count++ % 2], sizeof keys[0], "%.*s",
             LQ_STR_ARG(e->items[0]->task.unique_key));
}

static void unique_by__locks_on_the_named_members(void **state)
{
    (void)state;
    world *w = open_with("queue.enqueue('x', {a = 1, b = 2, c = 3}, {unique = "
                         "{by = {'b', 'a'}, ttl = 60}})\n"
                         "queue.enqueue('x', {b = 2, c = 4, a = 1}, {unique = "
                         "{by = {'a', 'b'}, ttl = 60}})");
    w->answer = keep_key;
    key_count = 0;
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_int_equal(key_count, 2);
    /* md5 of {"a":1,"b":2} */
    assert_string_equal(
        keys[0],
        "asynq:{default}:unique:x:by:608de49a4600dbb5b173492759792e4a");
    assert_string_equal(keys[0], keys[1]);
    world_end(r);
    world_free(w);
}

/* As a row of the table `schedules` has it. */
static void unique_by__of_raw_json__locks_on_its_members(void **state)
{
    (void)state;
    world *w = open_with(
        "queue.enqueue('x', nil, {raw = '{\"c\": 3, \"b\": 2, \"a\": 1}', "
        "unique = {by = {'a', 'b'}, ttl = 60}})\n"
        "local id, e = pcall(queue.enqueue, 'x', nil, {raw = 'no json', "
        "unique = {by = {'a'}, ttl = 60}})\n"
        "return tostring(e)");
    w->answer = keep_key;
    key_count = 0;
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_int_equal(key_count, 1);
    assert_string_equal(
        keys[0],
        "asynq:{default}:unique:x:by:608de49a4600dbb5b173492759792e4a");
    assert_non_null(strstr(r->result, "unique.by: the payload is no table"));
    world_end(r);
    world_free(w);
}

/* The bytes that a Go client hashes: the reference vector of the format. */
static void unique__locks_as_a_go_client_does(void **state)
{
    (void)state;
    world *w = open_with("queue.enqueue('email:send', {u = 1}, {unique = "
                         "'1h'})\nqueue.enqueue('email:send', nil, {raw = "
                         "'{\"u\":1}', unique = '1h'})");
    w->answer = keep_key;
    key_count = 0;
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    assert_int_equal(key_count, 2);
    assert_string_equal(
        keys[0],
        "asynq:{default}:unique:email:send:cfeb4906248f18cb94f202711c2a34cf");
    assert_string_equal(keys[0], keys[1]);
    world_end(r);
    world_free(w);
}

/* No payload is Go's nil, whose lock has no hash; an empty one has. */
static void unique_without_payload__locks_as_a_go_client_does(void **state)
{
    (void)state;
    world *w = open_with("queue.enqueue('x', nil, {unique = '1h'})\n"
                         "queue.enqueue('x', nil, {raw = '', unique = '1h'})");
    w->answer = keep_key;
    key_count = 0;
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    assert_int_equal(key_count, 2);
    assert_string_equal(keys[0], "asynq:{default}:unique:x:");
    assert_string_equal(
        keys[1], "asynq:{default}:unique:x:d41d8cd98f00b204e9800998ecf8427e");
    world_end(r);
    world_free(w);
}

/* A run that is canceled while its operation is under way: the answer comes to
 * nobody, and nothing is lost or freed twice. */
static void cancel__while_the_broker_is_asked__lets_go(void **state)
{
    (void)state;
    int64_t before = lq_alloc_live();
    world *w = open_with("queue.enqueue('x', {}) return 'never'");
    w->hold = true;
    world_run *r = world_start(w, "t", "{}");
    assert_int_equal(w->held_count, 1);
    w->runner->ops->cancel(w->runner, &r->run, LQ_CANCEL_LEASE);
    assert_true(r->ended);
    assert_int_equal(r->kind, LQ_ENDED);
    world_lua_bytes(w); /* the userdata is collected first */
    answer(w, w->held[0]);
    w->held[0]->done(w->held[0]);
    world_end(r);

    /* And one whose answer comes when the host is gone already. */
    r = world_start(w, "t", "{}");
    assert_int_equal(w->held_count, 2);
    w->runner->ops->cancel(w->runner, &r->run, LQ_CANCEL_SHUTDOWN);
    lq_op *late = w->held[1];
    world_end(r);
    world_free(w);
    late->rc = LUNAQ_ECANCELED;
    late->done(late);
    assert_int_equal(lq_alloc_live(), before);
}

/* The time of an id is found without leaving it; ids are anybody's text. */
static void enqueued_at__id_of_dashes__is_none(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/t.lua",
                "return function(task) return tostring(task.enqueued_at) end");
    world_open(w);
    char *id = lq_malloc(36); /* a sanitizer sees its end */
    memset(id, '-', 36);
    id[14] = '7';
    world_run *r = world_start_with(
        w, (lq_task){.type = LQ_STR("t"), .id = lq_str_n(id, 36)}, 0);
    world_wait(w, r);
    assert_string_equal(r->result, "nil");
    world_end(r);
    lq_free(id);
    world_free(w);
}

static void log__has_the_task_and_sorted_fields(void **state)
{
    (void)state;
    world *w =
        open_with("log.warn('not ready', {status = 'paused', n = 5, list "
                  "= {1, 2}, f = print, ok = true}) print('a', 1, nil)");
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    assert_true(world_sees(w,
                           "\"f\":\"function\",\"list\":[1,2],\"n\":5,\"ok\":"
                           "true,\"status\":\"paused\""));
    assert_true(world_sees(w, "\"level\":\"warn\",\"msg\":\"not ready\""));
    assert_true(world_sees(w, "\"01890a5d-ac96-774b-bcce-b302099a8057\""));
    assert_true(world_sees(w, "a\\t1\\tnil"));
    world_end(r);
    world_free(w);
}

/* A start inside lq_run_end(), as a runtime that fills a free slot does. */
struct chain {
    int left;
    world_run *runs[20000];
};

static void start_again(world_run *r)
{
    struct chain *c = r->ud;
    if (c->left == 0)
        return;
    world_run *next = world_start(r->w, "t", "{}");
    assert_false(next->ended); /* or the stack would grow with each */
    next->at_end = start_again;
    next->ud = c;
    c->runs[--c->left] = next;
}

static void start_inside_the_end_of_a_run__does_not_nest(void **state)
{
    (void)state;
    struct chain *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->left = LQ_COUNT(c->runs);
    world *w = open_with("if task.payload.wait then lunaq.sleep(0.001) end "
                         "return 1");
    world_run *first = world_start(w, "t", "{\"wait\":true}");
    first->at_end = start_again;
    first->ud = c;
    world_wait(w, first);
    while (c->left > 0 || !c->runs[0]->ended)
        world_spin(w, 5);
    for (size_t i = 0; i < LQ_COUNT(c->runs); i++)
        world_end(c->runs[i]);
    world_end(first);
    world_free(w);
    free(c);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(unique_by__locks_on_the_named_members),
        cmocka_unit_test(unique_by__of_raw_json__locks_on_its_members),
        cmocka_unit_test(unique__locks_as_a_go_client_does),
        cmocka_unit_test(unique_without_payload__locks_as_a_go_client_does),
        cmocka_unit_test(cancel__while_the_broker_is_asked__lets_go),
        cmocka_unit_test(enqueued_at__id_of_dashes__is_none),
        cmocka_unit_test(log__has_the_task_and_sorted_fields),
        cmocka_unit_test(start_inside_the_end_of_a_run__does_not_nest),
    };
    static struct CMUnitTest tests[LQ_COUNT(rows) + LQ_COUNT(others)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, check, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    memcpy(tests + LQ_COUNT(rows), others, sizeof others);
    setenv("LUNAQ_TEST_ALLOWED", "yes", 1);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests_name("modules", tests, NULL, NULL);
    gc = true;
    return failed + cmocka_run_group_tests_name("modules, collecting", tests,
                                                NULL, NULL);
}
