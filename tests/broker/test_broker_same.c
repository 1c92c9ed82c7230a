/* Both brokers give the same answers: random operations are carried out on a
 * Redis and on a queue file side by side, and everything that an operation says
 * and leaves behind is compared.
 *
 * LUNAQ_TEST_SEED chooses the run; a difference names its seed and the
 * operations that led to it.  Left out is what depends on the clock within a
 * second: the order in which tasks of one second come due. */
#include "same.h"

#include "base/clock.h"
#include "broker/group.h"
#include "broker/inspect.h"
#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 12
#define STEPS 220
#define HISTORY 800

static struct side sides[2] = {{.w.broker = &inspected_redis},
                               {.w.broker = &inspected_sqlite}};

/* ---- saying what came out ------------------------------------------------ */

void side_say_str(struct side *s, const char *name, lq_str v)
{
    lq_buf_printf(&s->said, " %s=", name);
    if (v.p)
        lq_buf_add_str(&s->said, v);
    else
        lq_buf_add_c(&s->said, "-");
}

void side_say(struct side *s, const char *name, int64_t n)
{
    lq_buf_printf(&s->said, " %s=%lld", name, (long long)n);
}

int side_call(struct side *s, lq_op *op, enum lq_op_kind kind)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(op, kind);
    int rc = lq_caller_call(s->w.caller, op, 20000, &err);
    if (rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_EPROTO ||
        rc == LUNAQ_EREPLY)
        fail_msg("%s: %s: %s", s->w.broker->name, lq_op_name(kind),
                 err.message);
    side_say(s, "rc", rc);
    return rc;
}

void side_say_msg(struct side *s, lq_str msg)
{
    lq_task t = {0};
    if (lq_task_decode(&t, msg, NULL)) {
        side_say_str(s, "raw", msg);
    } else {
        side_say_str(s, "payload", t.payload);
        side_say(s, "retried", t.retried);
        side_say_str(s, "error", t.error_msg);
        side_say(s, "failed", t.last_failed_s > 0);
        side_say_str(s, "group", t.group_key);
    }
    lq_task_release(&t);
}

/* ---- all that there is --------------------------------------------------- */

static void look_tasks(struct side *s)
{
    static const lq_str queue = {Q, sizeof(Q) - 1};
    for (size_t i = 0; i < IDS; i++) {
        lq_op_task_get get = {
            .queues = &queue, .queue_count = 1, .id = lq_str_c(same_ids[i])};
        side_call(s, &get.op, LQ_OP_TASK_GET);
        if (get.count) {
            const lq_task_row *r = &get.rows[0];
            lq_buf_printf(&s->said, "\n  %s %s", same_ids[i],
                          lunaq_state_name(r->state));
            side_say(s, "crashes", r->crashes);
            side_say_str(s, "cancel", r->cancel);
            side_say_str(s, "result", r->result);
            side_say(s, "since", r->since_ms > 0);
            side_say(s, "at", r->at_ms > 0 && r->state != LUNAQ_AGGREGATING);
            side_say(s, "lock", r->lock_ms > 0);
            side_say_msg(s, r->msg);
        }
        lq_op_release(&get.op);
    }
}

static void look_queue(struct side *s)
{
    lq_op_task_list list = {
        .queue = LQ_STR(Q), .state = LUNAQ_PENDING, .page_size = 100};
    side_call(s, &list.op, LQ_OP_TASK_LIST);
    lq_buf_add_c(&s->said, "\n  line:");
    for (size_t i = 0; i < list.count; i++)
        side_say_str(s, "id", list.rows[i].id);
    lq_op_release(&list.op);

    lq_op_queue_stats stats = {.queue = LQ_STR(Q), .now_ms = lq_now_ms()};
    if (side_call(s, &stats.op, LQ_OP_QUEUE_STATS) == LUNAQ_OK) {
        const lunaq_queue_info *i = &stats.info;
        const int64_t numbers[] = {
            i->pending,      i->active,        i->scheduled,
            i->retry,        i->archived,      i->completed,
            i->groups,       i->aggregating,   i->processed_total,
            i->failed_total, i->dropped_total, i->processed_today,
            i->failed_today, i->paused_at > 0, i->archive_max};
        for (size_t k = 0; k < LQ_COUNT(numbers); k++)
            lq_buf_printf(&s->said, " %lld", (long long)numbers[k]);
    }
    lq_op_release(&stats.op);
}

static void look_groups(struct side *s)
{
    lq_op_groups op = {.queue = LQ_STR(Q)};
    int64_t sets = 0;
    side_call(s, &op.op, LQ_OP_GROUPS);
    for (size_t i = 0; i < op.set_count; i++)
        sets += op.sets[i].size * 100 + 1;
    side_say(s, "sets", sets);
    for (size_t g = 0; g < GROUPS; g++)
        for (size_t i = 0; i < op.count; i++)
            if (lq_str_eq(op.rows[i].name, lq_str_c(same_groups[g]))) {
                side_say_str(s, "\n  group", op.rows[i].name);
                side_say(s, "size", op.rows[i].size);
                side_say(s, "failures", op.rows[i].failures);
                side_say(s, "waits", op.rows[i].retry_ms > 0);
                side_say_str(s, "error",
                             op.rows[i].error.len ? op.rows[i].error
                                                  : (lq_str){0});
            }
    lq_op_release(&op.op);
}

/* ---- runs ---------------------------------------------------------------- */

static uint32_t draw(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return n ? (uint32_t)((*seed >> 33) % n) : 0;
}

static const struct act *draw_act(uint64_t *seed)
{
    size_t count;
    const struct act *acts = same_acts(&count);
    uint32_t all = 0;
    for (size_t i = 0; i < count; i++)
        all += acts[i].weight;
    uint32_t n = draw(seed, all);
    size_t i = 0;
    for (; n >= acts[i].weight; i++)
        n -= acts[i].weight;
    return &acts[i];
}

static void open_side(struct side *s)
{
    static const struct step first = {.a = 0};
    lq_op_token op = {.server_id = LQ_STR("server")};
    size_t count;
    s->w.broker->wipe(&s->w);
    assert_int_equal(s->w.broker->open(&s->w, &s->w.caller), 0);
    lq_buf_init(&s->said, 0);
    side_call(s, &op.op, LQ_OP_TOKEN);
    s->token = op.token;
    lq_op_release(&op.op);
    same_acts(&count)[0].run(
        s, &first); /* a tick alone does not make a queue known in Redis */
}

static void close_side(struct side *s)
{
    lq_caller_close(s->w.caller);
    lq_buf_release(&s->said);
}

/* The lines that differ.  (Changes both.) */
static void print_difference(char *a, char *b)
{
    while (a && b) {
        const char *x = strsep(&a, "\n"), *y = strsep(&b, "\n");
        if (strcmp(x, y) != 0)
            print_error("redis: %s\nsqlite:%s\n", x, y);
    }
}

/* The last of what was done. */
static void note(char history[HISTORY], const struct step *st)
{
    size_t len = strlen(history);
    if (len > HISTORY - 100) {
        memmove(history, history + HISTORY / 2, len - HISTORY / 2 + 1);
        len -= HISTORY / 2;
    }
    snprintf(history + len, HISTORY - len, "%s %s %u %u %u; ", st->act->name,
             same_ids[st->id], st->a, st->b, st->c);
}

static void run(uint64_t seed)
{
    uint64_t state = seed;
    struct step last = {.old_group = "g", .set_group = "g"};
    int sets = 0;
    char history[HISTORY] = "";
    for (size_t i = 0; i < 2; i++)
        open_side(&sides[i]);
    for (int n = 0; n < STEPS; n++) {
        struct step st = {.act = draw_act(&state),
                          .id = draw(&state, IDS),
                          .a = draw(&state, 840),
                          .b = draw(&state, 840),
                          .c = draw(&state, 840),
                          .old_group = last.old_group,
                          .set_group = same_groups[draw(&state, GROUPS)]};
        memcpy(st.old_set, last.old_set, sizeof st.old_set);
        snprintf(st.set, sizeof st.set, "s%d", ++sets % 100000);
        note(history, &st);
        for (size_t i = 0; i < 2; i++) {
            struct side *s = &sides[i];
            lq_buf_clear(&s->said);
            st.act->run(s, &st);
            look_tasks(s);
            look_queue(s);
            look_groups(s);
            assert_false(s->said.failed);
        }
        if (strcmp(sides[0].said.p, sides[1].said.p) != 0) {
            print_error("…%s\n", history);
            print_difference(sides[0].said.p, sides[1].said.p);
            fail_msg("LUNAQ_TEST_SEED=%llu, step %d: %s",
                     (unsigned long long)seed, n, st.act->name);
        }
        if (st.act->takes_a_set) {
            memcpy(last.old_set, st.set, sizeof st.set);
            last.old_group = st.set_group;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        assert_sound(&sides[i].w, Q);
        close_side(&sides[i]);
    }
}

static void random_operations__on_both__say_and_leave_the_same(void **state)
{
    const char *text = getenv("LUNAQ_TEST_SEED");
    (void)state;
    if (text) {
        run(strtoull(text, NULL, 10));
        return;
    }
    for (int i = 0; i < RUNS; i++)
        run(lq_random(1000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations__on_both__say_and_leave_the_same)};
    if (sides[0].w.broker->start(&sides[0].w) != 0)
        return 77; /* no Redis here: skipped */
    int failed = sides[1].w.broker->start(&sides[1].w);
    if (!failed)
        failed = cmocka_run_group_tests_name("broker_same", tests, NULL, NULL);
    for (size_t i = 0; i < 2; i++)
        sides[i].w.broker->stop(&sides[i].w);
    return failed;
}
