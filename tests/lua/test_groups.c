/* Groups in the host: what a handler with `group` sees, and what its aggregate
 * function is given and may return. */
#include "support/test.h"

#include <stdio.h>

#include "base/alloc.h"
#include "lua/world.h"

#define AGGREGATE(body)                                                        \
    "return {run = function(task) end, max_retry = 7, group = {aggregate = "   \
    "function(group, tasks)\n" body "\nend}}\n"

static lq_header header = {{"k", 1}, {"v", 1}};
static const lq_task *tasks(void)
{
    static lq_task list[2];
    list[0] = (lq_task){.type = LQ_STR("t"),
                        .id = LQ_STR("one"),
                        .payload = LQ_STR("{\"n\":1}"),
                        .headers = &header,
                        .header_count = 1};
    list[1] = (lq_task){
        .type = LQ_STR("u"), .id = LQ_STR("two"), .payload = LQ_STR("\xff{")};
    return list;
}

/* A run of the aggregate function of this source; *out is the caller's. */
static world_run *aggregate(world **w, const char *source,
                            lq_aggregate_out *out)
{
    static lq_aggregate_in in;
    in = (lq_aggregate_in){LQ_STR("low"), LQ_STR("user:42"), tasks(), 2};
    memset(out, 0, sizeof(*out));
    *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(*w, "handlers/t.lua", source);
    world_open(*w);
    world_run *r = world_start_run(
        *w,
        (lq_run){.kind = LQ_RUN_AGGREGATE,
                 .in = &in,
                 .out = out,
                 .task = {.type = LQ_STR("t"), .queue = LQ_STR("low")}},
        5000);
    world_wait(*w, r);
    return r;
}

static void end(world *w, world_run *r, lq_aggregate_out *out)
{
    if (out->made)
        lq_enqueue_release(&out->item);
    lq_arena_release(&out->mem);
    world_end(r);
    world_free(w);
}

static void aggregate__gets_group_and_tasks(void **state)
{
    (void)state;
    world *w;
    lq_aggregate_out out;
    int64_t before = lq_alloc_live();
    world_run *r = aggregate(
        &w,
        AGGREGATE("local a, b = tasks[1], tasks[2]\n"
                  "log.info('seen', {group = group, count = #tasks, id = a.id, "
                  "n = a.payload.n, h = a.headers.k, t = b.type, raw = #b.raw, "
                  "none = b.payload == nil})\n"
                  "lunaq.sleep(0.01)\n"
                  "return 'digest', {of = group}"),
        &out);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_true(world_sees(w, "\"count\":2,\"group\":\"user:42\",\"h\":\"v\","
                              "\"id\":\"one\",\"n\":1,\"none\":true,\"raw\":2,"
                              "\"t\":\"u\""));
    assert_true(out.made);
    assert_true(lq_str_eq(out.item.task.type, LQ_STR("digest")));
    assert_true(
        lq_str_eq(out.item.task.payload, LQ_STR("{\"of\":\"user:42\"}")));
    assert_true(lq_str_eq(out.item.task.queue, LQ_STR("low")));
    end(w, r, &out);
    assert_int_equal(lq_alloc_live(), before);
}

static void aggregate__options__are_those_of_enqueue(void **state)
{
    (void)state;
    world *w;
    lq_aggregate_out out;
    world_run *r = aggregate(
        &w,
        AGGREGATE("return 't', nil, {task_id = 'x', timeout = '5s', unique = "
                  "'1m', queue = 'low', group = 'again'}"),
        &out);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_true(lq_str_eq(out.item.task.id, LQ_STR("x")));
    assert_int_equal(out.item.task.timeout_s, 5);
    assert_int_equal(out.item.unique_s, 60);
    assert_int_equal(out.item.task.max_retry, 7); /* its handler file's */
    assert_true(lq_str_eq(out.item.task.group_key, LQ_STR("again")));
    end(w, r, &out);
}

static void aggregate__what_cannot_be_enqueued__is_a_failure(void **state)
{
    static const struct {
        const char *source, *message;
    } rows[] = {
        {AGGREGATE("return nil"), "group.aggregate: it returned nothing: "},
        {AGGREGATE("return 5"), "its first value is a number"},
        {AGGREGATE("return 't', {}, 5"), "its third value is a number"},
        {AGGREGATE("return 't', {}, {queue = 'other'}"),
         "queue: the new task is of its group's queue, 'low'"},
        {AGGREGATE("return 't', print"), "payload"},
        {AGGREGATE("return 't', {}, {max_retrys = 1}"), "max_retry"},
        {AGGREGATE("return '', {}"), "task type"},
        {AGGREGATE("return nil, 'not today'"), "not today"},
        {AGGREGATE("error('no')"), "t.lua:2: no"},
    };
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        world *w;
        lq_aggregate_out out;
        world_run *r = aggregate(&w, rows[i].source, &out);
        assert_int_equal(r->kind, LQ_FAILED);
        assert_false(out.made);
        if (!strstr(r->message, rows[i].message))
            fail_msg("row %zu: %s", i, r->message);
        end(w, r, &out);
    }
}

/* ---- task.tasks ---------------------------------------------------------- */

static const char seen[] =
    "return {group = true, args = {n = 'number'}, run = function(task)\n"
    "local t = task.tasks\n"
    "assert(t == task.tasks)\n"
    "local last = t[#t]\n"
    "return {group = task.group, count = #t, id = last.id, type = last.type, "
    "n = last.payload and last.payload.n, raw = last.raw and #last.raw, "
    "h = last.headers.k}\n"
    "end}\n";

static void run_and_expect(lq_task task, enum lq_verdict_kind kind,
                           const char *text)
{
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/t.lua", seen);
    world_open(w);
    task.type = LQ_STR("t");
    task.id = LQ_STR("01890a5d-ac96-774b-bcce-b302099a8057");
    task.queue = LQ_STR("default");
    world_run *r = world_start_run(w, (lq_run){.task = task}, 5000);
    world_wait(w, r);
    const char *got = r->kind == LQ_SUCCEEDED ? r->result : r->message;
    if (r->kind != kind || !got || !strstr(got, text))
        fail_msg("%d: %s, where %s is expected", (int)r->kind, got ? got : "-",
                 text);
    world_end(r);
    world_free(w);
}

static void tasks__of_a_batch__are_all(void **state)
{
    lq_header group = {LQ_STR("lunaq-group"), LQ_STR("g")};
    (void)state;
    run_and_expect(
        (lq_task){
            .headers = &group,
            .header_count = 1,
            .payload = LQ_STR(
                "{\"group\":\"g\",\"tasks\":[{\"id\":\"a\",\"type\":\"t\""
                ",\"payload\":{\"n\":1}},{\"id\":\"b\",\"type\":\"t\","
                "\"headers\":{\"k\":\"v\"},\"payload_base64\":\"/wAB\"}]}")},
        LQ_SUCCEEDED,
        "{\"count\":2,\"group\":\"g\",\"h\":\"v\",\"id\":\"b\",\"raw\":3,"
        "\"type\":\"t\"}");
}

static void tasks__of_one_task__is_itself(void **state)
{
    (void)state;
    run_and_expect(
        (lq_task){.payload = LQ_STR("{\"n\":7}"), .group_key = LQ_STR("g")},
        LQ_SUCCEEDED, "\"group\":\"g\",\"id\":\"01890a5d-");
    run_and_expect((lq_task){.payload = LQ_STR("{\"n\":7}")}, LQ_SUCCEEDED,
                   "{\"count\":1,\"id\":\"01890a5d-");
    run_and_expect((lq_task){.payload = LQ_STR("{}")}, LQ_SKIPPED,
                   "the payload has no 'n'");
}

static void tasks__of_a_damaged_batch__is_an_error(void **state)
{
    lq_header group = {LQ_STR("lunaq-group"), LQ_STR("g")};
    (void)state;
    run_and_expect((lq_task){.headers = &group,
                             .header_count = 1,
                             .payload = LQ_STR("{\"tasks\":5}")},
                   LQ_SKIPPED, "the batch has no list of tasks");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(aggregate__gets_group_and_tasks),
        cmocka_unit_test(aggregate__options__are_those_of_enqueue),
        cmocka_unit_test(aggregate__what_cannot_be_enqueued__is_a_failure),
        cmocka_unit_test(tasks__of_a_batch__are_all),
        cmocka_unit_test(tasks__of_one_task__is_itself),
        cmocka_unit_test(tasks__of_a_damaged_batch__is_an_error),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("groups", all, NULL, NULL);
}
