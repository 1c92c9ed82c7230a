/* ENQUEUE: one script a queue, whatever the number of tasks. */
#include "redis/ops_enqueue.h"

#include "redis/keys.h"
#include "redis/rows.h"

extern const lq_script lq_script_enqueue;
extern const lq_script lq_script_enqueue_one;

enum { BIT_AT = 1, BIT_UNIQUE = 2, BIT_GROUP = 4 };

uint32_t lq_enqueue_item_build(lq_cmd *c, const lq_enqueue *e)
{
    uint32_t before = c->argc;
    bool unique = e->unique_s > 0 && e->task.unique_key.len;
    lq_cmd_int(c, (e->process_at_ms > 0 ? BIT_AT : 0) +
                      (unique ? BIT_UNIQUE : 0) +
                      (e->task.group_key.len ? BIT_GROUP : 0));
    lq_cmd_str(c, e->task.id);
    lq_cmd_task(c, &e->task);
    if (e->process_at_ms > 0)
        lq_cmd_int(c, e->process_at_ms);
    if (unique) {
        lq_cmd_lock(c, "", e->task.unique_key);
        lq_cmd_int(c, e->unique_s);
    }
    if (e->task.group_key.len)
        lq_cmd_str(c, e->task.group_key);
    return c->argc - before;
}

bool lq_enqueue_item_parse(lq_enqueue *e, char answer)
{
    e->delayed = answer == 'S';
    switch (answer) {
    case 'P':
    case 'S':
    case 'G':
        e->code = LUNAQ_OK;
        return true;
    case 'E':
        e->code = LUNAQ_EEXIST;
        return true;
    case 'D':
        e->code = LUNAQ_EDUPLICATE;
        return true;
    case 'W':
        e->code = LUNAQ_EREPLY;
        return true;
    default:
        return false;
    }
}

/* Until its answer comes, an item's code holds minus the number of its queue
 * (from 1) in the order of first appearance: the script that it goes with. */

#define DURABLE_MS 1000
#define DURABLE_BIT(durable) (1 << (durable))

/* Which of the levels that need a command of their own the items ask for. */
static int wanted(const lq_op_enqueue *o)
{
    int bits = 0;
    for (size_t i = 0; i < o->count; i++)
        bits |= DURABLE_BIT(o->items[i]->durable);
    return bits & (DURABLE_BIT(LUNAQ_DURABLE_REPLICA) |
                   DURABLE_BIT(LUNAQ_DURABLE_FSYNC));
}

static uint32_t enqueue_count(lq_op *op)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    int queues = 0;
    for (size_t i = 0; i < o->count; i++) {
        lq_enqueue *e = o->items[i];
        e->code = 0;
        for (size_t k = i; k-- > 0 && !e->code;)
            if (lq_str_eq(o->items[k]->task.queue, e->task.queue))
                e->code = o->items[k]->code;
        if (!e->code)
            e->code = -++queues;
    }
    o->scripts = (uint32_t)queues;
    o->confirmed = 0;
    if (!queues)
        return 0;
    return o->scripts + (o->known_queues ? 0 : 1) + lq_enqueue_confirms(o);
}

/* ---- durable ------------------------------------------------------------- */

/* The level that the n-th of the commands behind the scripts is for. */
static int level_of(const lq_op_enqueue *o, uint32_t n)
{
    bool replica = wanted(o) & DURABLE_BIT(LUNAQ_DURABLE_REPLICA);
    return replica && n == 0 ? LUNAQ_DURABLE_REPLICA : LUNAQ_DURABLE_FSYNC;
}

static int check_durable(const lq_op_enqueue *o, const lq_cmd *c,
                         lunaq_error *err)
{
    if (!(wanted(o) & DURABLE_BIT(LUNAQ_DURABLE_FSYNC)) || !c->redis ||
        c->redis >= LQ_REDIS_WAITAOF)
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_ECONFIG,
                   "redis: durable=fsync needs version 7.2 or newer (this is "
                   "%d.%d.%d): with appendonly yes and appendfsync always an "
                   "older one has every task on its disk anyway",
                   c->redis / 10000, c->redis / 100 % 100, c->redis % 100);
}

/* Both wait for all that this server was told before, by whomever: so that a
 * task that was there already is as sure as a new one. */
static void build_durable(const lq_op_enqueue *o, int level, lq_cmd *c)
{
    if (level == LUNAQ_DURABLE_REPLICA) {
        lq_cmd_c(c, "WAIT");
        lq_cmd_int(c, 1);
    } else {
        lq_cmd_c(c, "WAITAOF");
        lq_cmd_int(c, 1);
        lq_cmd_int(c, 0);
    }
    lq_cmd_int(c, o->durable_ms > 0 ? o->durable_ms : DURABLE_MS);
}

/* Not reached is no failure of the operation: items tell. */
static int parse_durable(lq_op_enqueue *o, int level, const lq_reply *reply)
{
    bool fsync = level == LUNAQ_DURABLE_FSYNC;
    int64_t ms = o->durable_ms > 0 ? o->durable_ms : DURABLE_MS;
    if (lq_reply_type(reply) == LQ_REPLY_ERROR) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        int rc = lq_redis_error(&why, lunaq_durable_name((lunaq_durable)level),
                                reply);
        lq_fail(&o->op.err, rc, "enqueued, but durable=%s is not confirmed: %s",
                lunaq_durable_name((lunaq_durable)level), why.message);
        return LUNAQ_OK;
    }
    if (lq_reply_int(fsync ? lq_reply_at(reply, 0) : reply, 0) >= 1)
        o->confirmed |= DURABLE_BIT(level);
    else
        lq_fail(&o->op.err, LUNAQ_EUNKNOWN, "enqueued, but %s within %lld ms",
                fsync ? "it did not reach the disk" : "no replica had it",
                (long long)ms);
    return LUNAQ_OK;
}

uint32_t lq_enqueue_confirms(const lq_op_enqueue *o)
{
    return (uint32_t)__builtin_popcount((unsigned)wanted(o));
}

void lq_enqueue_item_settle(const lq_op_enqueue *o, lq_enqueue *e)
{
    e->reached = LUNAQ_DURABLE_DEFAULT;
    if (e->code != LUNAQ_OK && e->code != LUNAQ_EEXIST)
        return;
    e->reached = LUNAQ_DURABLE_NONE;
    if (e->durable <= LUNAQ_DURABLE_NONE)
        return;
    if (o->confirmed & DURABLE_BIT(e->durable))
        e->reached = e->durable;
    else
        e->code = LUNAQ_EUNKNOWN;
}

/* ---- the operation ------------------------------------------------------- */

/* The queues' names, each once. */
static void build_names(const lq_op_enqueue *o, lq_cmd *c)
{
    int seen = 0;
    lq_cmd_c(c, "SADD");
    lq_cmd_global(c, "queues");
    for (size_t i = 0; i < o->count; i++)
        if (o->items[i]->code == -seen - 1) {
            seen++;
            lq_cmd_str(c, o->items[i]->task.queue);
        }
}

/* One task, and nothing special about it. */
static bool is_plain(const lq_op_enqueue *o)
{
    const lq_enqueue *e = o->items[0];
    return o->count == 1 && e->process_at_ms <= 0 && e->unique_s <= 0 &&
           e->task.group_key.len == 0;
}

static void build_one(lq_cmd *c, const lq_enqueue *e)
{
    lq_cmd_script(c, &lq_script_enqueue_one, 2);
    lq_cmd_queue_of(c, e->task.queue, "t:", e->task.id);
    lq_cmd_queue(c, e->task.queue, "pending");
    lq_cmd_str(c, e->task.id);
    lq_cmd_task(c, &e->task);
}

static int enqueue_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_enqueue *o = (const lq_op_enqueue *)op;
    if (o->count > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "redis: enqueue: at most %d tasks in one", LQ_BATCH_MAX);
    if (i == 0 || c->cluster) {
        int rc = check_durable(o, c, &op->err);
        if (rc)
            return rc;
    }
    if (!o->known_queues && i-- == 0) {
        build_names(o, c);
        return LUNAQ_OK;
    }
    if (i >= o->scripts) {
        build_durable(o, level_of(o, i - o->scripts), c);
        return LUNAQ_OK;
    }
    /* One that is not known would be sent again after the WAIT behind it. */
    if (wanted(o))
        c->eval = true;
    if (is_plain(o)) {
        build_one(c, o->items[0]);
        return LUNAQ_OK;
    }
    bool begun = false;
    for (size_t k = 0; k < o->count; k++) {
        const lq_enqueue *e = o->items[k];
        if (e->code != -(int)i - 1)
            continue;
        if (!begun) {
            lq_cmd_script(c, &lq_script_enqueue, 3);
            lq_cmd_queue(c, e->task.queue, "pending");
            lq_cmd_queue(c, e->task.queue, "scheduled");
            lq_cmd_queue(c, e->task.queue, "groups");
            lq_cmd_queue(c, e->task.queue, "t:");
            lq_cmd_queue(c, e->task.queue, "g:");
            begun = true;
        }
        lq_enqueue_item_build(c, e);
    }
    return LUNAQ_OK;
}

static int enqueue_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    lq_str answers = lq_reply_str(reply);
    bool error = lq_reply_type(reply) == LQ_REPLY_ERROR;
    int rc = LUNAQ_OK;
    size_t at = 0;
    uint32_t names = o->known_queues ? 0 : 1;

    if (i >= names + o->scripts)
        return parse_durable(o, level_of(o, i - names - o->scripts), reply);
    if (error)
        rc = lq_redis_error(&op->err, "enqueue", reply);
    if (!o->known_queues && i-- == 0)
        return rc;
    for (size_t k = 0; k < o->count; k++) {
        lq_enqueue *e = o->items[k];
        if (e->code != -(int)i - 1)
            continue;
        if (error)
            e->code = rc;
        else if (at >= answers.len || !lq_enqueue_item_parse(e, answers.p[at]))
            e->code = rc = lq_redis_odd(op);
        at++;
    }
    return rc;
}

/* An item that was not answered shares the operation's fate. */
static int enqueue_end(lq_op *op)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    for (size_t k = 0; k < o->count; k++) {
        if (o->items[k]->code < 0)
            o->items[k]->code = op->rc;
        lq_enqueue_item_settle(o, o->items[k]);
    }
    return op->rc;
}

const lq_redis_op lq_row_enqueue = {.count = enqueue_count,
                                    .build = enqueue_build,
                                    .parse = enqueue_parse,
                                    .end = enqueue_end,
                                    .errors = true};
