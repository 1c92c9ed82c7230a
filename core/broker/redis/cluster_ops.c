/* What else takes its own way through a cluster: commands a queue, a token, a
 * server; what depends on an answer is sent after it. */
#include "base/clock.h"
#include "broker/inspect.h"
#include "redis/cluster_rows.h"
#include "redis/inspect.h"
#include "redis/inspect_rows.h"
#include "redis/keys.h"
#include "redis/ops_enqueue.h"
#include "redis/rows.h"
#include "task/token.h"

extern const lq_script lq_script_token_renew, lq_script_inspect_pause;

/* ---- TOKEN: one candidate a call, its key is its slot -------------------- */

static uint32_t token_count(lq_op *op)
{
    ((lq_op_token *)op)->token = (uint32_t)lq_random(LQ_TOKEN_LIMIT - 1) + 1;
    return 1;
}

static int token_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_token *o = (const lq_op_token *)op;
    (void)i;
    lq_cmd_c(c, "SET");
    lq_cmd_token(c, o->token);
    lq_cmd_str(c, o->server_id);
    lq_cmd_c(c, "NX");
    lq_cmd_c(c, "EX");
    lq_cmd_int(c, 86400);
    return LUNAQ_OK;
}

static int token_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    (void)i;
    if (lq_reply_type(reply) == LQ_REPLY_STATUS)
        return LUNAQ_OK;
    if (lq_reply_type(reply) != LQ_REPLY_NIL)
        return lq_redis_odd(op);
    return lq_fail(&op->err, LUNAQ_EFULL,
                   "redis: no free lease token found: try again");
}

static int token_end(lq_op *op)
{
    if (op->rc)
        ((lq_op_token *)op)->token = 0;
    return op->rc;
}

const lq_redis_op lq_cluster_row_token = {.count = token_count,
                                          .build = token_build,
                                          .parse = token_parse,
                                          .end = token_end};

static uint32_t renew_count(lq_op *op)
{
    return (uint32_t)((lq_op_token_renew *)op)->count;
}

static int renew_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_token_renew *o = (const lq_op_token_renew *)op;
    lq_cmd_script(c, &lq_script_token_renew, 1);
    lq_cmd_token(c, o->tokens[i]);
    lq_cmd_str(c, o->server_id);
    return LUNAQ_OK;
}

static int integer_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    (void)i;
    return lq_reply_type(reply) == LQ_REPLY_INTEGER ? LUNAQ_OK
                                                    : lq_redis_odd(op);
}

const lq_redis_op lq_cluster_row_token_renew = {
    .count = renew_count, .build = renew_build, .parse = integer_parse};

/* ---- PEEK: a call a queue ------------------------------------------------ */

static uint32_t peek_count(lq_op *op)
{
    lq_op_peek *o = (lq_op_peek *)op;
    return (uint32_t)o->count;
}

static int peek_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    lq_op_peek part = *(const lq_op_peek *)op;
    part.queues += i;
    part.count = 1;
    return lq_row_peek.build(&part.op, 0, c);
}

static int peek_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_peek part = *(const lq_op_peek *)op;
    part.queues += i;
    part.count = 1;
    int rc = lq_row_peek.parse(&part.op, 0, reply);
    if (rc)
        op->err = part.op.err;
    return rc;
}

/* Of a queue that cannot be seen nothing is said; the others are. */
static int peek_lost(lq_op *op, uint32_t i, const lunaq_error *why)
{
    const lq_op_peek *o = (const lq_op_peek *)op;
    o->queues[i] = (lq_peek){.queue = o->queues[i].queue, .next_ms = -1};
    return o->count == 1 || why->code == LUNAQ_ECANCELED
               ? lq_fail(&op->err, why->code, "%s", why->message)
               : LUNAQ_OK;
}

const lq_redis_op lq_cluster_row_peek = {.count = peek_count,
                                         .build = peek_build,
                                         .parse = peek_parse,
                                         .lost = peek_lost};

/* ---- ENQUEUE: the queues' names first, then a call a queue --------------- *
 *
 * Behind each call, on its connection, what waits until it is durable. */

struct enqueue {
    uint32_t later;               /* commands after the names */
    uint32_t each;                /* commands a queue */
    int *confirmed;               /* per queue: levels that are reached */
    uint32_t queue[LQ_BATCH_MAX]; /* of an item */
};

static uint32_t enqueue_count(lq_op *op)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    uint32_t all = lq_row_enqueue.count(op);
    struct enqueue *p = lq_arena_alloc(&op->mem, sizeof(*p));
    if (p)
        p->confirmed = lq_arena_alloc(&op->mem, (o->scripts + 1) * sizeof(int));
    op->plan = p && p->confirmed ? p : NULL;
    if (!all || !op->plan)
        return all; /* its build says so */
    p->each = 1 + lq_enqueue_confirms(o);
    for (size_t k = 0; k < o->count && k < LQ_BATCH_MAX; k++)
        p->queue[k] = (uint32_t)(-o->items[k]->code - 1);
    p->later = o->known_queues ? 0 : o->scripts * p->each;
    return o->known_queues ? o->scripts * p->each : 1;
}

static uint32_t enqueue_more(lq_op *op)
{
    struct enqueue *p = op->plan;
    uint32_t n = p->later;
    p->later = 0;
    return n;
}

/* Which queue a command is for; LQ_BATCH_MAX: the names.  *as: what it is among
 * the commands of a single server. */
static uint32_t queue_of(const lq_op_enqueue *o, uint32_t i, uint32_t *as)
{
    const struct enqueue *p = o->op.plan;
    uint32_t names = o->known_queues ? 0 : 1;
    *as = i;
    if (i < names)
        return LQ_BATCH_MAX;
    uint32_t queue = (i - names) / p->each, at = (i - names) % p->each;
    *as = names + (at ? o->scripts + at - 1 : queue);
    return queue;
}

static int enqueue_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    uint32_t as;
    if (!op->plan)
        return lq_fail_nomem(&op->err);
    queue_of((lq_op_enqueue *)op, i, &as);
    return lq_row_enqueue.build(op, as, c);
}

static int enqueue_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    struct enqueue *p = op->plan;
    uint32_t as, queue = queue_of(o, i, &as);
    o->confirmed = 0;
    int rc = lq_row_enqueue.parse(op, as, reply);
    if (queue < o->scripts)
        p->confirmed[queue] |= o->confirmed;
    return rc;
}

static int enqueue_lost(lq_op *op, uint32_t i, const lunaq_error *why)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    int code = why->code;
    uint32_t as, queue = op->plan ? queue_of(o, i, &as) : LQ_BATCH_MAX;
    if (queue == LQ_BATCH_MAX) {
        /* Only a name was sent: no task is anywhere. */
        if (code == LUNAQ_EUNKNOWN)
            code = LUNAQ_EBROKER;
    } else if (as >= o->scripts + (o->known_queues ? 0 : 1)) {
        lq_fail(&op->err, LUNAQ_EUNKNOWN, "enqueued, but not confirmed: %s",
                why->message);
        return LUNAQ_OK;
    } else {
        for (size_t k = 0; k < o->count; k++)
            if (o->items[k]->code == -(int)queue - 1)
                o->items[k]->code = code;
    }
    return lq_fail(&op->err, code, "%s", why->message);
}

static int enqueue_end(lq_op *op)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    const struct enqueue *p = op->plan;
    for (size_t k = 0; k < o->count; k++) {
        if (o->items[k]->code < 0)
            o->items[k]->code = op->rc;
        o->confirmed = p && k < LQ_BATCH_MAX ? p->confirmed[p->queue[k]] : 0;
        lq_enqueue_item_settle(o, o->items[k]);
    }
    return op->rc;
}

const lq_redis_op lq_cluster_row_enqueue = {.count = enqueue_count,
                                            .build = enqueue_build,
                                            .parse = enqueue_parse,
                                            .more = enqueue_more,
                                            .lost = enqueue_lost,
                                            .end = enqueue_end,
                                            .errors = true,
                                            .follow = true};

/* ---- QUEUE_PAUSE: is there such a queue?  Then the mark ------------------ */

static uint32_t one_more(lq_op *op)
{
    bool first = op->plan == NULL;
    op->plan = op;
    return first ? 1 : 0;
}

static int pause_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_queue_pause *o = (const lq_op_queue_pause *)op;
    if (i == 0) {
        lq_cmd_c(c, "SISMEMBER");
        lq_cmd_global(c, "queues");
        lq_cmd_str(c, o->queue);
        return LUNAQ_OK;
    }
    lq_cmd_script(c, &lq_script_inspect_pause, 1);
    lq_cmd_queue(c, o->queue, "paused");
    lq_cmd_str(c, o->queue);
    lq_cmd_c(c, o->pause ? "pause" : "resume");
    lq_cmd_c(c, "");
    lq_inspect_pause_note(c, o->queue);
    return LUNAQ_OK;
}

static int pause_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    const lq_op_queue_pause *o = (const lq_op_queue_pause *)op;
    if (i > 0)
        return lq_inspect_queue_pause.parse(op, 0, reply);
    if (lq_reply_type(reply) != LQ_REPLY_INTEGER)
        return lq_redis_odd(op);
    return lq_reply_int(reply, 0)
               ? LUNAQ_OK
               : lq_fail(&op->err, LUNAQ_ENOTFOUND, "no queue '%.*s'",
                         LQ_STR_ARG(o->queue));
}

const lq_redis_op lq_cluster_row_pause = {
    .build = pause_build, .parse = pause_parse, .more = one_more};

/* ---- CRON_FIRE: the queue's name, then the tick -------------------------- */

static uint32_t fire_count(lq_op *op)
{
    (void)op;
    return 1;
}

static int fire_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    return lq_row_cron_fire.build(op, i, c);
}

static int fire_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    return lq_row_cron_fire.parse(op, i, reply);
}

static uint32_t fire_more(lq_op *op)
{
    if (!((lq_op_cron_fire *)op)->item || op->plan)
        return 0;
    op->plan = op;
    return 1;
}

/* Without an answer to the name no task is there yet. */
static int fire_lost(lq_op *op, uint32_t i, const lunaq_error *why)
{
    return lq_fail(&op->err,
                   i == 0 && why->code == LUNAQ_EUNKNOWN &&
                           ((lq_op_cron_fire *)op)->item
                       ? LUNAQ_EBROKER
                       : why->code,
                   "%s", why->message);
}

const lq_redis_op lq_cluster_row_cron_fire = {.count = fire_count,
                                              .build = fire_build,
                                              .parse = fire_parse,
                                              .more = fire_more,
                                              .lost = fire_lost};

/* ---- SERVERS: their names, then three keys each -------------------------- */

#define SERVER_KEYS 3

/* Copies the names that a sorted set has. */
static int read_names(lq_op *op, const lq_reply *reply, lq_str **out,
                      size_t *count)
{
    size_t n = lq_reply_count(reply);
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(op);
    *out = lq_arena_alloc(&op->mem, (n + 1) * sizeof(**out));
    if (!*out)
        return lq_fail_nomem(&op->err);
    for (size_t k = 0; k < n; k++)
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, k)), &(*out)[k]))
            return lq_fail_nomem(&op->err);
    *count = n;
    return LUNAQ_OK;
}

static void build_names(lq_cmd *c, const char *set)
{
    lq_cmd_c(c, "ZRANGE");
    lq_cmd_global(c, set);
    lq_cmd_c(c, "0");
    lq_cmd_c(c, "-1");
}

struct servers {
    lq_str *names; /* "asynq:servers:{host:pid:id}" */
    size_t count;
    bool asked;
};

static uint32_t servers_count(lq_op *op)
{
    lq_op_servers *o = (lq_op_servers *)op;
    o->count = 0;
    o->rows = NULL;
    op->plan = lq_arena_alloc(&op->mem, sizeof(struct servers));
    return 1;
}

static int servers_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const struct servers *s = op->plan;
    if (!s)
        return lq_fail_nomem(&op->err);
    if (i == 0) {
        build_names(c, "servers");
        return LUNAQ_OK;
    }
    lq_str name = s->names[(i - 1) / SERVER_KEYS];
    const char *tag = name.len ? memchr(name.p, '{', name.len) : NULL;
    lq_str rest = tag ? lq_str_n(tag, name.len - (size_t)(tag - name.p)) : name;
    switch ((i - 1) % SERVER_KEYS) {
    case 0:
        lq_cmd_c(c, "GET");
        lq_cmd_global_of(c, "servers:", rest);
        break;
    case 1:
        lq_cmd_c(c, "GET");
        lq_cmd_own_global_of(c, "servers:", rest);
        break;
    default:
        lq_cmd_c(c, "HVALS");
        lq_cmd_global_of(c, "workers:", rest);
    }
    return LUNAQ_OK;
}

static int read_workers(lq_op *op, lq_server_row *row, const lq_reply *reply)
{
    size_t n = lq_reply_count(reply);
    row->workers = lq_arena_alloc(&op->mem, (n + 1) * sizeof(*row->workers));
    if (!row->workers)
        return lq_fail_nomem(&op->err);
    for (size_t w = 0; w < n; w++)
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, w)),
                           &row->workers[w]))
            return lq_fail_nomem(&op->err);
    row->worker_count = n;
    return LUNAQ_OK;
}

static int servers_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_servers *o = (lq_op_servers *)op;
    struct servers *s = op->plan;
    if (i == 0) {
        int rc = read_names(op, reply, &s->names, &s->count);
        if (!rc) {
            o->rows =
                lq_arena_alloc(&op->mem, (s->count + 1) * sizeof(*o->rows));
            rc = o->rows ? LUNAQ_OK : lq_fail_nomem(&op->err);
        }
        return rc;
    }
    lq_server_row *row = &o->rows[(i - 1) / SERVER_KEYS];
    lq_str text = lq_reply_str(reply);
    switch ((i - 1) % SERVER_KEYS) {
    case 0:
        if (text.p && !lq_redis_keep(op, text, &row->info))
            return lq_fail_nomem(&op->err);
        return LUNAQ_OK;
    case 1:
        if (text.p && !lq_redis_keep(op, text, &row->extra))
            return lq_fail_nomem(&op->err);
        return LUNAQ_OK;
    default:
        return read_workers(op, row, reply);
    }
}

static uint32_t servers_more(lq_op *op)
{
    struct servers *s = op->plan;
    bool first = !s->asked;
    s->asked = true;
    return first ? (uint32_t)s->count * SERVER_KEYS : 0;
}

/* A name whose record has ended is no server. */
static int servers_end(lq_op *op)
{
    lq_op_servers *o = (lq_op_servers *)op;
    const struct servers *s = op->plan;
    for (size_t k = 0; s && o->rows && k < s->count; k++)
        if (o->rows[k].info.p)
            o->rows[o->count++] = o->rows[k];
    return op->rc;
}

const lq_redis_op lq_cluster_row_servers = {.count = servers_count,
                                            .build = servers_build,
                                            .parse = servers_parse,
                                            .more = servers_more,
                                            .end = servers_end};

/* ---- CRONS: the schedulers' names, then a list each ---------------------- */

static uint32_t crons_count(lq_op *op)
{
    lq_op_crons *o = (lq_op_crons *)op;
    o->count = 0;
    o->entries = NULL;
    op->plan = lq_arena_alloc(&op->mem, sizeof(struct servers));
    return 1;
}

static int crons_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const struct servers *s = op->plan;
    if (!s)
        return lq_fail_nomem(&op->err);
    if (i == 0) {
        build_names(c, "schedulers");
        return LUNAQ_OK;
    }
    lq_cmd_c(c, "LRANGE");
    lq_cmd_mark_key(c);
    lq_cmd_str(c, s->names[i - 1]);
    lq_cmd_c(c, "0");
    lq_cmd_c(c, "-1");
    return LUNAQ_OK;
}

static int crons_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_crons *o = (lq_op_crons *)op;
    struct servers *s = op->plan;
    size_t n = lq_reply_count(reply);
    if (i == 0)
        return read_names(op, reply, &s->names, &s->count);
    if (n == 0)
        return LUNAQ_OK;
    lq_str *entries =
        lq_arena_alloc(&op->mem, (o->count + n) * sizeof(*entries));
    if (!entries)
        return lq_fail_nomem(&op->err);
    if (o->count)
        memcpy(entries, o->entries, o->count * sizeof(*entries));
    for (size_t k = 0; k < n; k++)
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, k)),
                           &entries[o->count + k]))
            return lq_fail_nomem(&op->err);
    o->entries = entries;
    o->count += n;
    return LUNAQ_OK;
}

static uint32_t crons_more(lq_op *op)
{
    struct servers *s = op->plan;
    bool first = !s->asked;
    s->asked = true;
    return first ? (uint32_t)s->count : 0;
}

const lq_redis_op lq_cluster_row_crons = {.count = crons_count,
                                          .build = crons_build,
                                          .parse = crons_parse,
                                          .more = crons_more};

/* ---- the table ----------------------------------------------------------- */

const lq_redis_op *lq_cluster_row(enum lq_op_kind kind)
{
    switch (kind) {
    case LQ_OP_STEP:
        return &lq_cluster_row_step;
    case LQ_OP_TOKEN:
        return &lq_cluster_row_token;
    case LQ_OP_TOKEN_RENEW:
        return &lq_cluster_row_token_renew;
    case LQ_OP_PEEK:
        return &lq_cluster_row_peek;
    case LQ_OP_ENQUEUE:
        return &lq_cluster_row_enqueue;
    case LQ_OP_QUEUE_PAUSE:
        return &lq_cluster_row_pause;
    case LQ_OP_CRON_FIRE:
        return &lq_cluster_row_cron_fire;
    case LQ_OP_SERVERS:
        return &lq_cluster_row_servers;
    case LQ_OP_CRONS:
        return &lq_cluster_row_crons;
    case LQ_OP_CHECK:
        return &lq_cluster_row_check;
    case LQ_OP_QUEUE_PLACE:
        return &lq_cluster_row_place;
    default:
        return lq_redis_op_of(kind);
    }
}
