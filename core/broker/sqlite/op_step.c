/* STEP: settles outcomes, then takes tasks, over several queues. */
#include "sqlite/ops.h"

#include <stdio.h>

/* What one queue's outcomes amount to. */
struct tally {
    int64_t processed, failed, discarded;
    int64_t front; /* the next place before all pending tasks */
    bool front_known, archived, completed;
};

/* ---- settle -------------------------------------------------------------- */

/* Whose lease it has to be.  lease_ms -1: whenever it ends. */
struct holder {
    int64_t token, lease_ms;
};

/* False for a score that `expired` cannot have written. */
static bool holder_of(const lq_outcome *o, struct holder *h)
{
    *h = (struct holder){o->token, -1};
    if (!o->score)
        return o->token > 0;
    lq_str s = lq_str_c(o->score);
    const char *colon = memchr(s.p ? s.p : "", ':', s.len);
    if (!colon)
        return false;
    size_t head = (size_t)(colon - s.p);
    return lq_str_int64(lq_str_n(s.p, head), &h->token) &&
           lq_str_int64(lq_str_n(colon + 1, s.len - head - 1), &h->lease_ms) &&
           h->lease_ms >= 0;
}

/* Binds what finds the task if it is its holder's. */
static void bind_held(lq_query *x, int64_t queue, const lq_outcome *o,
                      const struct holder *h)
{
    lq_query_int(x, queue);
    lq_query_text(x, o->id);
    lq_query_int(x, h->token);
    if (h->lease_ms >= 0)
        lq_query_int(x, h->lease_ms);
    else
        lq_query_null(x);
}

static void settle_gone(lq_sqlite *q, int64_t queue, lq_outcome *o,
                        const struct holder *h, struct tally *t)
{
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_DONE);
    bind_held(&x, queue, o, h);
    if (lq_query_run(&x) == 0) {
        o->code = LUNAQ_ELEASE;
        return;
    }
    t->processed++;
    t->discarded += o->kind == LQ_DISCARD;
    if (o->unique_key.len)
        lq_sqlite_unlock(q, o->unique_key, o->id);
}

/* A task that somebody asked to cancel does not run again. */
static void settle_canceled(lq_sqlite *q, int64_t queue, lq_outcome *o,
                            const struct holder *h, struct tally *t,
                            lq_arena *mem, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_HELD);
    bind_held(&x, queue, o, h);
    if (!lq_query_row(&x)) {
        lq_query_end(&x);
        o->code = LUNAQ_ELEASE;
        return;
    }
    int64_t seq = lq_column_int(&x, 0);
    lq_str cancel = lq_column_bytes(&x, 1);
    /* A message for its retry counts this attempt already, as only one that
     * waits for the next does. */
    bool given = o->msg.p && o->kind != LQ_RETRY_AT;
    lq_str msg = given ? o->msg : lq_column_bytes(&x, 2);
    lq_sqlite_archive_canceled(q, seq, msg, cancel, true, now_ms);
    o->canceled = lq_column_copy(&x, 1, mem);
    lq_query_end(&x);
    t->processed++;
    t->failed++;
    t->archived = true;
}

/* A whole second, as Asynq keeps it; its retention is anybody's number. */
static int64_t kept_until(int64_t now_ms, int64_t retention_s)
{
    int64_t now = now_ms / 1000 * 1000;
    if (retention_s <= 0)
        return now;
    if (retention_s > INT64_MAX / 1000 - now_ms / 1000)
        return INT64_MAX / 1000 * 1000;
    return now + retention_s * 1000;
}

static void settle_kept(lq_sqlite *q, int64_t queue, lq_outcome *o,
                        const struct holder *h, struct tally *t,
                        size_t still_to_come, lq_arena *mem, int64_t now_ms)
{
    enum { CRASHES_ZERO, CRASHES_KEEP, CRASHES_MORE };
    int64_t delay_ms = o->delay_ms > 0 ? o->delay_ms : 0;
    int64_t at_ms = now_ms, place = 0;
    lunaq_state state = LUNAQ_PENDING;
    bool counts = true, failure = false;

    switch (o->kind) {
    case LQ_COMPLETE:
        state = LUNAQ_COMPLETED;
        at_ms = kept_until(now_ms, o->retention_s);
        break;
    case LQ_RETRY_AT:
        state = LUNAQ_RETRY;
        at_ms = lq_sqlite_whole_s(lq_sqlite_after(now_ms, delay_ms));
        counts = failure = o->is_failure;
        break;
    case LQ_ARCHIVE:
        state = LUNAQ_ARCHIVED;
        failure = true;
        break;
    case LQ_SNOOZE:
        state = LUNAQ_SCHEDULED;
        at_ms = lq_sqlite_whole_s(lq_sqlite_after(now_ms, delay_ms));
        counts = false;
        break;
    default: /* LQ_REQUEUE, LQ_CRASHED: next to run, the first of them first */
        counts = false;
        if (!t->front_known)
            t->front = lq_sqlite_front(q, queue, (int64_t)still_to_come);
        t->front_known = true;
        place = t->front;
        break;
    }
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_SETTLE);
    bind_held(&x, queue, o, h);
    lq_query_int(&x, state);
    lq_query_int(&x, at_ms);
    lq_query_int(&x, place);
    lq_query_int(&x, o->kind == LQ_CRASHED ? CRASHES_MORE
                     : o->keep_crashes     ? CRASHES_KEEP
                                           : CRASHES_ZERO);
    lq_query_blob(&x, state == LUNAQ_PENDING || state == LUNAQ_SCHEDULED
                          ? (lq_str){0}
                          : o->msg);
    lq_query_blob(&x, state == LUNAQ_COMPLETED ? o->result : (lq_str){0});
    lq_query_int(&x, state == LUNAQ_COMPLETED);
    if (lq_query_run(&x) == 0) {
        settle_canceled(q, queue, o, h, t, mem, now_ms);
        return;
    }
    t->processed += counts;
    t->failed += failure;
    t->archived |= state == LUNAQ_ARCHIVED;
    t->completed |= state == LUNAQ_COMPLETED;
    t->front += state == LUNAQ_PENDING;
    if (state == LUNAQ_COMPLETED && o->unique_key.len)
        lq_sqlite_unlock(q, o->unique_key, o->id);
}

static void count(lq_sqlite *q, const lq_op_step *s, int64_t queue,
                  const struct tally *t, int64_t now_ms)
{
    if (t->processed == 0)
        return;
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_COUNT);
    lq_query_int(&x, queue);
    lq_query_int(&x, t->processed);
    lq_query_int(&x, t->failed);
    lq_query_int(&x, t->discarded);
    (void)lq_query_run(&x);
    x = lq_query_begin(q, LQ_SQL_DAY_COUNT);
    lq_query_int(&x, queue);
    lq_query_int(&x, (s->now_ms > 0 ? s->now_ms : now_ms) / 86400000);
    lq_query_int(&x, t->processed);
    lq_query_int(&x, t->failed);
    (void)lq_query_run(&x);
}

static void settle(lq_sqlite *q, lq_op_step *s, lq_step_queue *sq,
                   int64_t queue, int64_t now_ms)
{
    struct tally t = {0};
    bool woke = false;
    for (size_t i = 0; i < sq->outcome_count; i++) {
        lq_outcome *o = sq->outcomes[i];
        struct holder h;
        o->code = LUNAQ_OK;
        o->canceled = (lq_str){0};
        if (!queue || !holder_of(o, &h))
            o->code = LUNAQ_ELEASE;
        else if (o->kind == LQ_DONE || o->kind == LQ_DISCARD)
            settle_gone(q, queue, o, &h, &t);
        else
            settle_kept(q, queue, o, &h, &t, sq->outcome_count - i, &s->op.mem,
                        now_ms);
        woke |= t.front_known;
    }
    count(q, s, queue, &t, now_ms);
    if (t.archived)
        (void)lq_sqlite_trim_archive(q, queue, now_ms, NULL);
    if (t.completed)
        (void)lq_sqlite_trim_completed(q, queue, NULL);
    if (woke)
        lq_sqlite_wake_queue(q, sq->name);
}

/* ---- take ---------------------------------------------------------------- */

/* Rows come in any order: puts the last of them where its place is.  They come
 * nearly sorted. */
static void sort_in(lq_taken *taken, int64_t *places, size_t from, size_t last)
{
    lq_taken t = taken[last];
    int64_t place = places[last];
    size_t i = last;
    for (; i > from && places[i - 1] > place; i--) {
        taken[i] = taken[i - 1];
        places[i] = places[i - 1];
    }
    taken[i] = t;
    places[i] = place;
}

/* Takes up to n of a queue. */
static void take(lq_sqlite *q, lq_op_step *s, size_t which, int64_t queue,
                 uint32_t n, int64_t *places, int64_t now_ms)
{
    lq_step_queue *sq = &s->queues[which];
    size_t from = s->taken_count;
    if (n == 0 || sq->drained || sq->paused)
        return;
    if (queue) {
        lq_query x = lq_query_begin(q, LQ_SQL_TAKE);
        lq_query_int(&x, queue);
        lq_query_int(&x, n);
        lq_query_int(&x, now_ms + s->lease_ms);
        lq_query_int(&x, s->token);
        while (lq_query_row(&x)) {
            size_t i = s->taken_count++;
            s->taken[i] = (lq_taken){.queue = which,
                                     .id = lq_column_copy(&x, 0, &s->op.mem),
                                     .msg = lq_column_copy(&x, 1, &s->op.mem),
                                     .crashes = (int32_t)lq_column_int(&x, 2)};
            places[i] = lq_column_int(&x, 3);
            sort_in(s->taken, places, from, i);
        }
        lq_query_end(&x);
    }
    sq->drained = s->taken_count - from < n;
}

int lq_sqlite_step(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_step *s = (lq_op_step *)op;
    int64_t queues[LQ_QUEUES_MAX] = {0}, places[LQ_BATCH_MAX];
    uint32_t got[LQ_QUEUES_MAX] = {0};
    size_t outcomes = 0;

    s->taken = NULL;
    s->taken_count = 0;
    for (size_t i = 0; i < s->queue_count; i++)
        outcomes += s->queues[i].outcome_count;
    if (s->queue_count > LQ_QUEUES_MAX || outcomes > LQ_BATCH_MAX ||
        s->free > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "sqlite: step: at most %d queues, %d outcomes and %d "
                       "tasks in one",
                       LQ_QUEUES_MAX, LQ_BATCH_MAX, LQ_BATCH_MAX);
    if (s->free) {
        s->taken = lq_arena_alloc(&op->mem, s->free * sizeof(*s->taken));
        if (!s->taken)
            return lq_fail_nomem(&op->err);
    }
    for (size_t i = 0; i < s->queue_count; i++) {
        lq_step_queue *sq = &s->queues[i];
        lq_query x = lq_query_begin(q, LQ_SQL_QUEUE);
        lq_query_text(&x, sq->name);
        bool there = lq_query_row(&x);
        queues[i] = there ? lq_column_int(&x, 0) : 0;
        sq->paused = there && s->free && !lq_column_is_null(&x, 1);
        sq->drained = false;
        sq->code = LUNAQ_OK;
        sq->reason[0] = 0;
        lq_query_end(&x);
        if (sq->outcome_count)
            settle(q, s, sq, queues[i], now_ms);
    }
    for (int rest = 0; rest < 2; rest++) {
        for (size_t i = 0; i < s->queue_count; i++) {
            uint32_t left = s->free - (uint32_t)s->taken_count;
            uint32_t want = s->queues[i].want, n;
            n = rest || want > left ? left : want;
            if (s->queues[i].capped && n > s->queues[i].most - got[i])
                n = s->queues[i].most - got[i];
            got[i] -= (uint32_t)s->taken_count;
            take(q, s, i, queues[i], n, places, now_ms);
            got[i] += (uint32_t)s->taken_count;
        }
    }
    return LUNAQ_OK;
}
