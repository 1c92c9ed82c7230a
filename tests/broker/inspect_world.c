/* See the header. */
#include "inspect_world.h"

#include "base/clock.h"
#include "broker/inspect.h"
#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 20000

static const struct inspected *the_broker;
/* cmocka hands a test the group's state or its own, not both: the group keeps
 * none, the world is here and takes the place of the test's own. */
static struct world *the_world;

static int world_open(void **state)
{
    (void)state;
    the_world = calloc(1, sizeof *the_world);
    if (!the_world)
        return -1;
    the_world->broker = the_broker;
    if (the_broker->start(the_world) != 0)
        exit(77); /* not here: skipped */
    return 0;
}

static int world_close(void **state)
{
    (void)state;
    the_broker->stop(the_world);
    free(the_world);
    return 0;
}

int world_begin(void **state)
{
    struct world *w = the_world;
    w->own = *state;
    *state = w;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_caller *caller = NULL;
    w->broker->wipe(w);
    w->blocks = lq_alloc_live();
    assert_int_equal(w->broker->open(w, &caller), 0);
    assert_int_equal(lq_client_new(&w->client, caller, CALL_MS, &err), 0);
    assert_int_equal(w->broker->open(w, &w->caller), 0);
    return 0;
}

int world_end(void **state)
{
    struct world *w = *state;
    lunaq_client_close(w->client);
    lq_caller_close(w->caller);
    assert_int_equal(lq_alloc_live(), w->blocks);
    return 0;
}

int world_run(const char *name, const struct CMUnitTest *tests, size_t count,
              const struct CMUnitTest *redis_only, size_t redis_count, int argc,
              char **argv)
{
    static const struct inspected *const brokers[] = {&inspected_redis,
                                                      &inspected_sqlite};
    int failed = 0;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (size_t i = 0; i < LQ_COUNT(brokers); i++) {
        char title[64];
        the_broker = brokers[i];
        snprintf(title, sizeof title, "%s on %s", name, the_broker->name);
        failed += _cmocka_run_group_tests(title, tests, count, world_open,
                                          world_close);
        if (the_broker == &inspected_redis && redis_count > 0)
            failed += _cmocka_run_group_tests(title, redis_only, redis_count,
                                              world_open, world_close);
    }
    return failed;
}

int world_run_on(const struct inspected *broker, const char *name,
                 const struct CMUnitTest *tests, size_t count)
{
    the_broker = broker;
    return _cmocka_run_group_tests(name, tests, count, world_open, world_close);
}

/* ---- planting ------------------------------------------------------------ */

void plant(struct world *w, const struct planted *p)
{
    lq_buf msg;
    lq_buf_init(&msg, 0);
    lq_task t = {.type = LQ_STR("hello"),
                 .payload = LQ_STR("{\"n\":1}"),
                 .id = lq_str_c(p->id),
                 .queue = lq_str_c(p->queue),
                 .max_retry = 3,
                 .retried = p->retried,
                 .timeout_s = 1800,
                 .unique_key = lq_str_c(p->lock),
                 .group_key = lq_str_c(p->group)};
    lq_task_encode(&msg, &t);
    w->broker->plant(w, p, p->msg ? lq_str_c(p->msg) : lq_buf_str(&msg));
    lq_buf_release(&msg);
}

void carry_out(struct world *w, lq_op *op)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_caller_call(w->caller, op, CALL_MS, &err))
        fail_msg("%s: %s", lq_op_name(op->kind), err.message);
}

void plant_pending(struct world *w, const char *queue, const char *head,
                   int count)
{
    for (int done = 0; done < count;) {
        lq_copy items[LQ_BATCH_MAX] = {0};
        char ids[LQ_BATCH_MAX][32];
        lq_op_import op = {.queue = lq_str_c(queue), .items = items};
        for (; done < count && op.count < LQ_BATCH_MAX; done++, op.count++) {
            snprintf(ids[op.count], sizeof ids[0], "%s%d", head, done);
            items[op.count].state = LUNAQ_PENDING;
            items[op.count].id = lq_str_c(ids[op.count]);
            items[op.count].msg = LQ_STR("\012\001t");
            items[op.count].at_ms = 1700000000000;
        }
        lq_op_init(&op.op, LQ_OP_IMPORT);
        carry_out(w, &op.op);
        for (size_t i = 0; i < op.count; i++)
            assert_int_equal(items[i].code, LUNAQ_OK);
        lq_op_release(&op.op);
    }
}

void plant_queue(struct world *w, const char *queue, const lq_queue_copy *copy)
{
    lq_op_import_queue op = {
        .queue = lq_str_c(queue), .now_ms = lq_now_ms(), .copy = *copy};
    lq_op_init(&op.op, LQ_OP_IMPORT_QUEUE);
    carry_out(w, &op.op);
    lq_op_release(&op.op);
}

void plant_server(struct world *w, const char *id, const char *queue,
                  const char *extra)
{
    lq_buf info;
    struct lq_queue_prio prio = {lq_str_c(queue), 1};
    lq_server_msg m = {.host = LQ_STR("here"),
                       .server_id = lq_str_c(id),
                       .status = LQ_STR("active"),
                       .pid = 7,
                       .concurrency = 10,
                       .start_ms = 1700000000000,
                       .queues = &prio,
                       .queue_count = queue ? 1 : 0};
    lq_op_heartbeat op = {
        .host = m.host, .server_id = m.server_id, .pid = 7, .ttl_ms = 60000};
    lq_buf_init(&info, 0);
    lq_server_encode(&info, &m);
    op.info = lq_buf_str(&info);
    if (extra)
        op.extra = lq_str_c(extra);
    lq_op_init(&op.op, LQ_OP_HEARTBEAT);
    carry_out(w, &op.op);
    lq_op_release(&op.op);
    lq_buf_release(&info);
}

/* ---- looking ------------------------------------------------------------- */

int64_t count_of(struct world *w, const char *queue, lunaq_state state)
{
    lunaq_queue_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_queue_list_open(w->client, queue, &list, &err))
        fail_msg("%s", err.message);
    const lunaq_queue_info *q = lunaq_queue_list_at(list, 0);
    const int64_t counts[] = {
        [LUNAQ_ACTIVE] = q->active,          [LUNAQ_PENDING] = q->pending,
        [LUNAQ_SCHEDULED] = q->scheduled,    [LUNAQ_RETRY] = q->retry,
        [LUNAQ_ARCHIVED] = q->archived,      [LUNAQ_COMPLETED] = q->completed,
        [LUNAQ_AGGREGATING] = q->aggregating};
    int64_t count = counts[state];
    lunaq_queue_list_free(list);
    return count;
}

bool locked(struct world *w, const char *lock)
{
    return w->broker->locked(w, lock);
}

int64_t things(struct world *w)
{
    return w->broker->things(w);
}

void assert_sound(struct world *w, const char *queue)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_audit op = {.queue = lq_str_c(queue)};
    lq_op_init(&op.op, LQ_OP_AUDIT);
    if (lq_caller_call(w->caller, &op.op, 5000, &err))
        fail_msg("audit: %s", err.message);
    for (size_t i = 0; i < op.count; i++)
        print_error("%.*s\n", LQ_STR_ARG(op.faults[i]));
    size_t faults = op.count;
    lq_op_release(&op.op);
    assert_int_equal(faults, 0);
}
