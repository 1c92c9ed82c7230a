/* How a task comes in. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <poll.h>
#include <stdlib.h>

static lunaq_task plain(const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    return t;
}

static void enqueue__plain__is_pending(void **state)
{
    world *w = *state;
    assert_int_equal(world_put(w, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_PENDING);
}

static void enqueue__id_taken__is_refused(void **state)
{
    world *w = *state;
    assert_int_equal(world_put(w, "one"), LUNAQ_OK);
    assert_int_equal(world_put(w, "one"), LUNAQ_EEXIST);
    assert_int_equal(world_stats(w).pending, 1);
}

static void enqueue__later__is_scheduled(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    lq_op_task_get get;
    t.process_at = lq_now_ms() + (int64_t)3600 * 1000 + 1;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    const lq_task_row *row = world_row(w, "one", &get);
    assert_non_null(row);
    assert_int_equal(row->state, LUNAQ_SCHEDULED);
    /* Whole seconds, and never early. */
    assert_in_range(row->at_ms, t.process_at, t.process_at + 1000);
    assert_int_equal(row->at_ms % 1000, 0);
    lq_op_release(&get.op);
}

static void enqueue__time_past__is_pending(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    t.process_at = lq_now_ms() - 5000;
    t.unique_ms = 1000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_PENDING);
}

static void enqueue__same_unique_key__is_a_duplicate(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    t.task_id = "two";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    assert_int_equal(world_state(w, "two"), LUNAQ_STATE_ANY);
    t.payload = "other";
    t.payload_len = 5;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void enqueue__unique_and_id_taken__leaves_no_lock(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    assert_int_equal(world_put(w, "one"), LUNAQ_OK);
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EEXIST);
    t.task_id = "two";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void enqueue__repeated_unique__says_that_the_id_exists(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EEXIST);
}

static void enqueue__unique_and_later__locks_until_after_it(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    t.unique_ms = 1000;
    t.process_in_ms = (int64_t)3600 * 1000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_SCHEDULED);
    t.task_id = "two";
    t.process_in_ms = 0;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
}

static int64_t lock_ms(world *w, const char *id)
{
    lq_op_task_get get;
    const lq_task_row *row = world_row(w, id, &get);
    assert_non_null(row);
    int64_t ms = row->lock_ms;
    lq_op_release(&get.op);
    return ms;
}

static void enqueue__unique__locks_from_when_it_may_run(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    t.unique_ms = 100000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_in_range(lock_ms(w, "one"), 60000, 100000);
    t.task_id = "two";
    t.payload = "other";
    t.payload_len = 5;
    t.process_in_ms = 200000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_in_range(lock_ms(w, "two"), 260000, 301000);
}

static void enqueue__unique_for_a_moment__the_lock_ends(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    int64_t until = lq_mono_ms() + 20000;
    int rc = LUNAQ_EDUPLICATE;
    t.unique_ms = 1000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    t.task_id = "two";
    while (rc == LUNAQ_EDUPLICATE && lq_mono_ms() < until) {
        rc = world_put_task(w, &t, NULL);
        (void)poll(NULL, 0, 20);
    }
    assert_int_equal(rc, LUNAQ_OK); /* though the first task still waits */
}

static void enqueue__group__waits_in_its_group(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    t.group = "g1";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
    t.task_id = "two";
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    t.task_id = "three";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    lunaq_queue_info s = world_stats(w);
    assert_int_equal(s.aggregating, 2);
    assert_int_equal(s.groups, 1);
}

static void enqueue__batch__answers_for_each(void **state)
{
    world *w = *state;
    static const char *const ids[] = {"one", "two", "one", "three", "two"};
    static const char *const queues[] = {Q, "other", Q, Q, Q};
    static const int codes[] = {LUNAQ_OK, LUNAQ_OK, LUNAQ_EEXIST, LUNAQ_OK,
                                LUNAQ_OK};
    enum { N = LQ_COUNT(ids) };
    lq_enqueue *e = calloc(N, sizeof(*e)), *items[N];
    assert_non_null(e);
    for (size_t i = 0; i < N; i++) {
        lunaq_task t = plain(ids[i]);
        t.queue = queues[i];
        assert_int_equal(lq_enqueue_init(&e[i], &t, lq_now_ms(), NULL), 0);
        items[i] = &e[i];
    }
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE, .items = items, .count = N};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(e[i].code, codes[i]);
        lq_enqueue_release(&e[i]);
    }
    lq_op_release(&op.op);
    free(e);
    assert_int_equal(world_stats(w).pending, 3);
}

static void enqueue__too_many__is_refused(void **state)
{
    world *w = *state;
    lq_enqueue *items[LQ_BATCH_MAX + 1];
    lq_enqueue e;
    lunaq_task t = plain("one");
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    for (size_t i = 0; i < LQ_COUNT(items); i++)
        items[i] = &e;
    lq_op_enqueue op = {
        .op.kind = LQ_OP_ENQUEUE, .items = items, .count = LQ_COUNT(items)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_EINVAL);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
}

/* One item that asks for a level; what it reached. */
static int put_durable(world *w, const char *id, lunaq_durable durable,
                       int *reached)
{
    lunaq_task t = plain(id);
    lq_enqueue e, *items[] = {&e};
    t.durable = durable;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    bool slow = strcmp(w->factory->name, "cluster") == 0; /* and comes */
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE,
                        .items = items,
                        .count = 1,
                        .durable_ms = slow ? 10000 : 50};
    int rc = world_call(w, &op.op);
    if (!rc && e.code)
        assert_true(op.op.err.message[0] || e.code == LUNAQ_EEXIST);
    rc = rc ? rc : e.code;
    *reached = e.reached;
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    return rc;
}

static void enqueue__durable__says_what_was_reached_or_refuses(void **state)
{
    world *w = *state;
    bool cluster = strcmp(w->factory->name, "cluster") == 0;
    bool redis = cluster || strncmp(w->factory->name, "redis", 5) == 0;
    int reached = -1;
    assert_int_equal(put_durable(w, "none", LUNAQ_DURABLE_NONE, &reached), 0);
    assert_int_equal(reached, redis ? LUNAQ_DURABLE_NONE : LUNAQ_DURABLE_FSYNC);
    assert_int_equal(put_durable(w, "dflt", LUNAQ_DURABLE_DEFAULT, &reached),
                     0);
    assert_int_equal(reached, redis ? LUNAQ_DURABLE_NONE : LUNAQ_DURABLE_FSYNC);
    if (cluster) { /* every node has a replica */
        assert_int_equal(put_durable(w, "r", LUNAQ_DURABLE_REPLICA, &reached),
                         0);
        assert_int_equal(reached, LUNAQ_DURABLE_REPLICA);
        assert_int_equal(put_durable(w, "r", LUNAQ_DURABLE_REPLICA, &reached),
                         LUNAQ_EEXIST);
        assert_int_equal(reached, LUNAQ_DURABLE_REPLICA);
        return;
    }
    if (redis) { /* no replica is there: it came, and nobody else has it */
        assert_int_equal(put_durable(w, "r", LUNAQ_DURABLE_REPLICA, &reached),
                         LUNAQ_EUNKNOWN);
        assert_int_equal(reached, LUNAQ_DURABLE_NONE);
        assert_int_equal(world_state(w, "r"), LUNAQ_PENDING);
        assert_int_equal(put_durable(w, "r", LUNAQ_DURABLE_REPLICA, &reached),
                         LUNAQ_EUNKNOWN); /* and is no surer by that */
        return;
    }
    assert_int_equal(put_durable(w, "r", LUNAQ_DURABLE_REPLICA, &reached),
                     LUNAQ_ECONFIG);
    assert_int_equal(world_stats(w).pending, 2);
    assert_int_equal(put_durable(w, "f", LUNAQ_DURABLE_FSYNC, &reached), 0);
    assert_int_equal(reached, LUNAQ_DURABLE_FSYNC);
    assert_int_equal(put_durable(w, "f", LUNAQ_DURABLE_FSYNC, &reached),
                     LUNAQ_EEXIST);
    assert_int_equal(reached, LUNAQ_DURABLE_FSYNC);
}

size_t suite_enqueue(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(enqueue__plain__is_pending),
        WORLD_TEST(enqueue__id_taken__is_refused),
        WORLD_TEST(enqueue__later__is_scheduled),
        WORLD_TEST(enqueue__time_past__is_pending),
        WORLD_TEST(enqueue__same_unique_key__is_a_duplicate),
        WORLD_TEST(enqueue__unique_and_id_taken__leaves_no_lock),
        WORLD_TEST(enqueue__repeated_unique__says_that_the_id_exists),
        WORLD_TEST(enqueue__unique_and_later__locks_until_after_it),
        WORLD_TEST(enqueue__unique__locks_from_when_it_may_run),
        WORLD_TEST(enqueue__unique_for_a_moment__the_lock_ends),
        WORLD_TEST(enqueue__group__waits_in_its_group),
        WORLD_TEST(enqueue__batch__answers_for_each),
        WORLD_TEST(enqueue__too_many__is_refused),
        WORLD_TEST(enqueue__durable__says_what_was_reached_or_refuses),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
