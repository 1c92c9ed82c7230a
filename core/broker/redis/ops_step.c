/* STEP: settle and take, in one script over all queues; in a leaner one when
 * there is at most one task to settle and one to take. */
#include "redis/keys.h"
#include "redis/rows.h"

extern const lq_script lq_script_step, lq_script_step_one;

/* As scripts/step.lua reads them. */
enum {
    BIT_TAIL = 16,
    BIT_FAILURE = 32,
    BIT_KEEP = 64,
    BIT_SCORE = 128,
    BIT_UNIQUE = 256,
    BIT_MSG = 512,
    BIT_RESULT = 1024,
    BIT_TOKEN = 2048
};

/* How many of the queue's keys its outcomes need. */
static int level_of(const lq_step_queue *q)
{
    int level = 0;
    for (size_t i = 0; i < q->outcome_count; i++) {
        if (q->outcomes[i]->kind != LQ_DONE)
            return 2;
        level = 1;
    }
    return level;
}

static void build_keys(lq_cmd *c, const lq_step_queue *q, int level,
                       int64_t now_ms)
{
    lq_str n = q->name;
    lq_cmd_queue(c, n, "pending");
    lq_cmd_queue(c, n, "active");
    lq_cmd_queue(c, n, "lease");
    lq_cmd_queue(c, n, "paused");
    if (level >= 1) {
        lq_cmd_day(c, n, "processed", now_ms);
        lq_cmd_queue(c, n, "processed");
    }
    if (level >= 2) {
        lq_cmd_day(c, n, "failed", now_ms);
        lq_cmd_queue(c, n, "failed");
        lq_cmd_queue(c, n, "retry");
        lq_cmd_queue(c, n, "scheduled");
        lq_cmd_queue(c, n, "archived");
        lq_cmd_queue(c, n, "completed");
        lq_cmd_own(c, n, "dropped");
        lq_cmd_own(c, n, "limits");
        lq_cmd_own(c, n, "discarded");
    }
}

static void build_outcome(lq_cmd *c, const lq_outcome *o)
{
    int64_t bits = (int64_t)o->kind + (int64_t)BIT_TOKEN * o->token;
    bits += o->from_tail ? BIT_TAIL : 0;
    bits += o->is_failure ? BIT_FAILURE : 0;
    bits += o->keep_crashes ? BIT_KEEP : 0;
    bits += o->score ? BIT_SCORE : 0;
    bits += o->unique_key.len ? BIT_UNIQUE : 0;
    bits += o->msg.p ? BIT_MSG : 0;
    bits += o->result.p ? BIT_RESULT : 0;
    lq_cmd_str(c, o->id);
    lq_cmd_int(c, bits);
    if (o->score)
        lq_cmd_c(c, o->score);
    if (o->kind == LQ_COMPLETE)
        lq_cmd_int(c, o->retention_s > 0 ? o->retention_s : 0);
    else if (o->kind == LQ_RETRY_AT || o->kind == LQ_SNOOZE)
        lq_cmd_int(c, o->delay_ms > 0 ? o->delay_ms : 0);
    if (o->msg.p)
        lq_cmd_str(c, o->msg);
    if (o->result.p)
        lq_cmd_str(c, o->result);
    if (o->unique_key.len)
        lq_cmd_lock(c, "", o->unique_key);
}

/* The queue, from 1, of the only outcome, when that is simply done; 0 when
 * there is none; -1: step_one.lua cannot do this step. */
static int only_outcome(const lq_op_step *s)
{
    int number = 0;
    for (size_t q = 0; q < s->queue_count; q++) {
        if (s->queues[q].outcome_count == 0)
            continue;
        const lq_outcome *o = s->queues[q].outcomes[0];
        if (number || s->queues[q].outcome_count > 1 || o->kind != LQ_DONE ||
            o->score || !o->token || o->unique_key.len)
            return -1;
        number = (int)q + 1;
    }
    return number;
}

/* Some queue shall give nothing. */
static bool full_queue(const lq_op_step *s)
{
    for (size_t q = 0; q < s->queue_count; q++)
        if (s->queues[q].capped && s->queues[q].most == 0)
            return true;
    return false;
}

static void build_one(lq_cmd *c, const lq_op_step *s, int number)
{
    const lq_step_queue *settled = number ? &s->queues[number - 1] : NULL;
    int64_t first = 1;

    lq_cmd_script(c, &lq_script_step_one,
                  (uint32_t)s->queue_count * 4 + (settled ? 2 : 0));
    if (settled) {
        lq_cmd_day(c, settled->name, "processed", s->now_ms);
        lq_cmd_queue(c, settled->name, "processed");
    }
    for (size_t q = 0; q < s->queue_count; q++) {
        build_keys(c, &s->queues[q], 0, s->now_ms);
        if (s->queues[q].want)
            first = (int64_t)q + 1;
    }
    lq_cmd_int(c, s->free);
    lq_cmd_int(c, s->lease_ms);
    lq_cmd_int(c, s->token);
    lq_cmd_int(c, first);
    lq_cmd_int(c, (int64_t)s->queue_count);
    for (size_t q = 0; q < s->queue_count; q++)
        lq_cmd_queue(c, s->queues[q].name, "t:");
    if (settled) {
        const lq_outcome *o = settled->outcomes[0];
        lq_cmd_int(c, number);
        lq_cmd_str(c, o->id);
        lq_cmd_int(c, o->token);
        lq_cmd_int(c, o->from_tail ? -1 : 1);
    }
}

static int step_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_step *s = (const lq_op_step *)op;
    int only;
    static const uint32_t keys_of_level[] = {4, 6, 15};
    uint32_t keys = 0;
    size_t outcomes = 0;
    (void)i;

    for (size_t q = 0; q < s->queue_count; q++) {
        keys += keys_of_level[level_of(&s->queues[q])];
        outcomes += s->queues[q].outcome_count;
    }
    if (s->queue_count > LQ_QUEUES_MAX || outcomes > LQ_BATCH_MAX ||
        s->free > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "redis: step: at most %d queues, %d outcomes and %d "
                       "tasks in one",
                       LQ_QUEUES_MAX, LQ_BATCH_MAX, LQ_BATCH_MAX);
    if (!full_queue(s) && s->free <= 1 && (only = only_outcome(s)) >= 0) {
        build_one(c, s, only);
        return LUNAQ_OK;
    }
    lq_cmd_script(c, &lq_script_step, keys);
    for (size_t q = 0; q < s->queue_count; q++)
        build_keys(c, &s->queues[q], level_of(&s->queues[q]), s->now_ms);
    lq_cmd_int(c, s->free);
    lq_cmd_int(c, s->lease_ms);
    lq_cmd_int(c, s->token);
    lq_cmd_int(c, (int64_t)s->queue_count);
    for (size_t q = 0; q < s->queue_count; q++) {
        const lq_step_queue *sq = &s->queues[q];
        lq_cmd_queue(c, sq->name, "t:");
        lq_cmd_int(c, sq->want);
        lq_cmd_int(c, sq->capped ? (int64_t)sq->most : -1);
        lq_cmd_int(c, level_of(sq));
        lq_cmd_int(c, (int64_t)sq->outcome_count);
        for (size_t k = 0; k < sq->outcome_count; k++)
            build_outcome(c, sq->outcomes[k]);
    }
    return LUNAQ_OK;
}

static uint32_t step_count(lq_op *op)
{
    return ((const lq_op_step *)op)->queue_count ? 1 : 0;
}

static int code_of(char c)
{
    switch (c) {
    case '0':
    case 'C':
        return LUNAQ_OK;
    case 'L':
        return LUNAQ_ELEASE;
    case 'N':
        return LUNAQ_ENOTFOUND;
    default:
        return LUNAQ_EREPLY;
    }
}

static int parse_queues(lq_op_step *s, const lq_reply *reply)
{
    lq_str codes = lq_reply_str(lq_reply_at(reply, 0));
    lq_str flags = lq_reply_str(lq_reply_at(reply, 1));
    const lq_reply *faults = lq_reply_at(reply, 2);
    const lq_reply *cancels = lq_reply_at(reply, 4);
    size_t at = 0, cancel = 0;

    for (size_t q = 0; q < s->queue_count; q++)
        at += s->queues[q].outcome_count;
    if (codes.len != at || flags.len != s->queue_count)
        return lq_redis_odd(&s->op);
    at = 0;
    for (size_t q = 0; q < s->queue_count; q++) {
        lq_step_queue *sq = &s->queues[q];
        sq->paused = (flags.p[q] - '0') & 1;
        sq->drained = ((flags.p[q] - '0') & 2) != 0;
        sq->code = LUNAQ_OK;
        sq->reason[0] = 0;
        for (size_t k = 0; k < sq->outcome_count; k++, at++) {
            sq->outcomes[k]->code = code_of(codes.p[at]);
            sq->outcomes[k]->canceled = (lq_str){0};
            if (codes.p[at] != 'C')
                continue;
            lq_str why = lq_reply_str(lq_reply_at(cancels, cancel++));
            char *copy = lq_arena_dup(&s->op.mem, why);
            sq->outcomes[k]->canceled =
                copy ? lq_str_n(copy, why.len) : LQ_STR("");
        }
    }
    for (size_t i = 0; i + 1 < lq_reply_count(faults); i += 2) {
        int64_t q = lq_reply_int(lq_reply_at(faults, i), 0);
        lq_str why = lq_reply_str(lq_reply_at(faults, i + 1));
        if (q < 1 || (size_t)q > s->queue_count)
            return lq_redis_odd(&s->op);
        lq_step_queue *sq = &s->queues[q - 1];
        sq->code = LUNAQ_EREPLY;
        sq->reason[lq_utf8_clean(why, sq->reason, sizeof(sq->reason) - 1)] = 0;
    }
    return LUNAQ_OK;
}

/* Copies what was taken into one block. */
static int parse_taken(lq_op_step *s, const lq_reply *list)
{
    size_t count = lq_reply_count(list) / 3, bytes = 0;
    if (lq_reply_type(list) != LQ_REPLY_ARRAY || lq_reply_count(list) % 3)
        return lq_redis_odd(&s->op);
    if (count == 0)
        return LUNAQ_OK;
    for (size_t i = 0; i < lq_reply_count(list); i++)
        bytes += lq_reply_str(lq_reply_at(list, i)).len + 1;
    s->taken = lq_arena_alloc(&s->op.mem, count * sizeof(*s->taken));
    char *text = lq_arena_alloc(&s->op.mem, bytes);
    if (!s->taken || !text)
        return lq_fail_nomem(&s->op.err);
    for (size_t i = 0; i < count; i++) {
        lq_taken *t = &s->taken[i];
        int64_t n = lq_reply_int(lq_reply_at(list, i * 3 + 2), 0);
        int64_t q = n < 0 ? -(n % 128) : n % 128;
        lq_str views[2];
        if (q < 1 || (size_t)q > s->queue_count)
            return lq_redis_odd(&s->op);
        for (size_t k = 0; k < 2; k++) {
            lq_str from = lq_reply_str(lq_reply_at(list, i * 3 + k));
            if (from.len)
                memcpy(text, from.p, from.len);
            text[from.len] = 0;
            views[k] = lq_str_n(text, from.len);
            text += from.len + 1;
        }
        t->id = views[0];
        t->msg = views[1];
        t->queue = (size_t)q - 1;
        t->bad = n < 0;
        t->crashes = n < 0 ? 0 : (int32_t)(n / 128);
    }
    s->taken_count = count;
    return LUNAQ_OK;
}

static int step_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_step *s = (lq_op_step *)op;
    (void)i;
    s->taken = NULL;
    s->taken_count = 0;
    int rc = parse_queues(s, reply);
    return rc ? rc : parse_taken(s, lq_reply_at(reply, 3));
}

const lq_redis_op lq_row_step = {
    .count = step_count, .build = step_build, .parse = step_parse};
