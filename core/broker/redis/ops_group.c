/* Groups and sets that are being aggregated: GROUPS, GROUP_TAKE, GROUP_FINISH,
 * GROUP_BACK, GROUP_EXTEND, GROUP_RECLAIM. */
#include "broker/group.h"
#include "redis/keys.h"
#include "redis/ops_enqueue.h"
#include "redis/rows.h"

extern const lq_script lq_script_groups, lq_script_group_take,
    lq_script_group_finish, lq_script_group_back, lq_script_group_extend,
    lq_script_group_reclaim;

#define GROUPS_A_PART 200

/* Appends the key of a set: "…g:<group>:<id>". */
static void cmd_set(lq_cmd *c, lq_str queue, lq_str group, lq_str id)
{
    lq_buf name;
    lq_buf_init(&name, 0);
    lq_buf_add_str(&name, group);
    lq_buf_add_char(&name, ':');
    lq_buf_add_str(&name, id);
    if (name.failed)
        c->body.failed = true;
    lq_cmd_queue_of(c, queue, "g:", lq_buf_str(&name));
    lq_buf_release(&name);
}

static int gone(lq_op *op, lq_str group)
{
    return lq_fail(&op->err, LUNAQ_ELEASE,
                   "the set of group '%.*s' ended, and was put back",
                   LQ_STR_ARG(group));
}

static int64_t whole_s(int64_t ms)
{
    return (ms + 999) / 1000;
}

/* ---- GROUPS -------------------------------------------------------------- */

static int groups_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_groups *o = (const lq_op_groups *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_groups, 3);
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "aggregation_sets");
    lq_cmd_own(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_c(c, o->cursor);
    lq_cmd_int(c, GROUPS_A_PART);
    lq_cmd_int(c, LQ_BATCH_MAX);
    return LUNAQ_OK;
}

/* Splits "<group>:<set id>". */
static void name_set(lq_group_set *set, lq_str key)
{
    const char *colon = key.len ? memrchr(key.p, ':', key.len) : NULL;
    size_t head = colon ? (size_t)(colon - key.p) : key.len;
    set->group = lq_str_n(key.p, head);
    set->id = lq_str_n(colon ? colon + 1 : key.p + head,
                       colon ? key.len - head - 1 : 0);
}

static int parse_sets(lq_op_groups *o, const lq_reply *reply, size_t n)
{
    enum { FIELDS = 3 };
    o->sets = lq_arena_alloc(&o->op.mem, (n + 1) * sizeof(*o->sets));
    if (!o->sets)
        return lq_fail_nomem(&o->op.err);
    for (size_t k = 0; k < n; k++) {
        size_t at = 2 + k * FIELDS;
        lq_str key;
        if (!lq_redis_keep(&o->op, lq_reply_str(lq_reply_at(reply, at)), &key))
            return lq_fail_nomem(&o->op.err);
        name_set(&o->sets[k], key);
        o->sets[k].size = lq_reply_int(lq_reply_at(reply, at + 1), 0);
        o->sets[k].left_ms = lq_reply_int(lq_reply_at(reply, at + 2), 0);
    }
    o->set_count = n;
    return LUNAQ_OK;
}

static int groups_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    enum { FIELDS = 8, SET_FIELDS = 3 };
    lq_op_groups *o = (lq_op_groups *)op;
    lq_str cursor = lq_reply_str(lq_reply_at(reply, 0));
    int64_t sets = lq_reply_int(lq_reply_at(reply, 1), -1);
    size_t total = lq_reply_count(reply);
    (void)i;
    o->count = o->set_count = 0;
    if (!cursor.p || cursor.len >= sizeof(o->cursor) || sets < 0 ||
        (size_t)sets > total || total < 2 + (size_t)sets * SET_FIELDS ||
        (total - 2 - (size_t)sets * SET_FIELDS) % FIELDS)
        return lq_redis_odd(op);
    memcpy(o->cursor, cursor.p, cursor.len);
    o->cursor[cursor.len] = 0;
    int rc = parse_sets(o, reply, (size_t)sets);
    if (rc)
        return rc;
    size_t at = 2 + (size_t)sets * SET_FIELDS, n = (total - at) / FIELDS;
    o->rows = lq_arena_alloc(&op->mem, (n + 1) * sizeof(*o->rows));
    if (!o->rows)
        return lq_fail_nomem(&op->err);
    for (; o->count < n; o->count++, at += FIELDS) {
        lq_group_row *row = &o->rows[o->count];
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at)),
                           &row->name) ||
            !lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at + 1)),
                           &row->types) ||
            !lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at + 7)),
                           &row->error))
            return lq_fail_nomem(&op->err);
        row->type = lq_group_first_type(row->types);
        row->size = lq_reply_int(lq_reply_at(reply, at + 2), 0);
        row->oldest_ms = lq_reply_int(lq_reply_at(reply, at + 3), 0);
        row->newest_ms = lq_reply_int(lq_reply_at(reply, at + 4), 0);
        row->failures = lq_reply_int(lq_reply_at(reply, at + 5), 0);
        row->retry_ms = lq_reply_int(lq_reply_at(reply, at + 6), 0);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_groups = {.build = groups_build,
                                   .parse = groups_parse};

/* ---- GROUP_TAKE ---------------------------------------------------------- */

static int take_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_group_take *o = (const lq_op_group_take *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_group_take, 5);
    lq_cmd_queue_of(c, o->queue, "g:", o->group);
    cmd_set(c, o->queue, o->group, o->set_id);
    lq_cmd_queue(c, o->queue, "aggregation_sets");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_own(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_str(c, o->group);
    lq_cmd_int(c, o->rule.max_size);
    lq_cmd_int(c, whole_s(o->rule.max_delay_ms));
    lq_cmd_int(c, whole_s(o->rule.grace_ms));
    lq_cmd_int(c, o->ttl_ms);
    lq_cmd_int(c, LQ_GROUP_SET_TASKS);
    lq_cmd_int(c, LQ_GROUP_SET_BYTES);
    return LUNAQ_OK;
}

static int take_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_group_take *o = (lq_op_group_take *)op;
    size_t total = lq_reply_count(reply), n = total / 2;
    (void)i;
    o->count = 0;
    if (total % 2 != 1)
        return lq_redis_odd(op);
    o->left = lq_reply_int(lq_reply_at(reply, 0), 0);
    o->ids = lq_arena_alloc(&op->mem, (n + 1) * sizeof(*o->ids));
    o->msgs = lq_arena_alloc(&op->mem, (n + 1) * sizeof(*o->msgs));
    if (!o->ids || !o->msgs)
        return lq_fail_nomem(&op->err);
    for (; o->count < n; o->count++) {
        size_t at = 1 + o->count * 2;
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at)),
                           &o->ids[o->count]) ||
            !lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at + 1)),
                           &o->msgs[o->count]))
            return lq_fail_nomem(&op->err);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_group_take = {.build = take_build,
                                       .parse = take_parse};

/* ---- GROUP_FINISH -------------------------------------------------------- */

static int finish_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_group_finish *o = (const lq_op_group_finish *)op;
    char error[1024];
    (void)i;
    if (o->count > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "redis: group finish: at most %d tasks in one",
                       LQ_BATCH_MAX);
    lq_cmd_script(c, &lq_script_group_finish, 8);
    cmd_set(c, o->queue, o->group, o->set_id);
    lq_cmd_queue(c, o->queue, "aggregation_sets");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "scheduled");
    lq_cmd_day(c, o->queue, "processed", o->now_ms);
    lq_cmd_queue(c, o->queue, "processed");
    lq_cmd_own(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_queue(c, o->queue, "unique:");
    lq_cmd_str(c, o->group);
    lq_cmd_int(c, (int64_t)o->alone_count);
    lq_cmd_int(c, (int64_t)o->back_count);
    lq_cmd_int(c, o->retry_ms);
    lq_cmd_str(c,
               lq_str_n(error, lq_utf8_clean(o->error, error, sizeof(error))));
    for (size_t k = 0; k < o->alone_count; k++)
        lq_cmd_str(c, o->alone[k]);
    for (size_t k = 0; k < o->back_count; k++)
        lq_cmd_str(c, o->back[k]);
    for (size_t k = 0; k < o->count; k++)
        lq_enqueue_item_build(c, o->items[k]);
    return LUNAQ_OK;
}

static int finish_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_group_finish *o = (lq_op_group_finish *)op;
    lq_str codes = lq_reply_str(reply);
    (void)i;
    if (lq_str_eq(codes, LQ_STR("gone")))
        return gone(op, o->group);
    if (!codes.p || codes.len != o->count)
        return lq_redis_odd(op);
    int rc = LUNAQ_OK;
    for (size_t k = 0; k < o->count; k++) {
        lq_enqueue *e = o->items[k];
        if (codes.p[k] == '-')
            e->code = LUNAQ_OK;
        else if (!lq_enqueue_item_parse(e, codes.p[k]))
            return lq_redis_odd(op);
        if (e->code && !rc)
            rc = lq_fail(&op->err, e->code, "%s: the aggregated task: %s",
                         lq_op_name(op->kind), lunaq_strerror(e->code));
    }
    return rc;
}

const lq_redis_op lq_row_group_finish = {.build = finish_build,
                                         .parse = finish_parse};

/* ---- GROUP_BACK ---------------------------------------------------------- */

static int back_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_group_back *o = (const lq_op_group_back *)op;
    char error[1024];
    (void)i;
    lq_cmd_script(c, &lq_script_group_back, 4);
    cmd_set(c, o->queue, o->group, o->set_id);
    lq_cmd_queue(c, o->queue, "aggregation_sets");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_own(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_str(c, o->group);
    lq_cmd_int(c, o->error.p ? o->retry_ms : -1);
    lq_cmd_str(c,
               lq_str_n(error, lq_utf8_clean(o->error, error, sizeof(error))));
    return LUNAQ_OK;
}

static int back_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    const lq_op_group_back *o = (const lq_op_group_back *)op;
    (void)i;
    if (lq_reply_type(reply) != LQ_REPLY_INTEGER)
        return lq_redis_odd(op);
    return lq_reply_int(reply, -1) < 0 ? gone(op, o->group) : LUNAQ_OK;
}

const lq_redis_op lq_row_group_back = {.build = back_build,
                                       .parse = back_parse};

/* ---- GROUP_EXTEND -------------------------------------------------------- */

static int extend_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_group_extend *o = (const lq_op_group_extend *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_group_extend, 1);
    lq_cmd_queue(c, o->queue, "aggregation_sets");
    cmd_set(c, o->queue, o->group, o->set_id);
    lq_cmd_int(c, o->ttl_ms);
    return LUNAQ_OK;
}

static int extend_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    const lq_op_group_extend *o = (const lq_op_group_extend *)op;
    (void)i;
    if (lq_reply_type(reply) != LQ_REPLY_INTEGER)
        return lq_redis_odd(op);
    return lq_reply_int(reply, 0) == 1 ? LUNAQ_OK : gone(op, o->group);
}

const lq_redis_op lq_row_group_extend = {.build = extend_build,
                                         .parse = extend_parse};

/* ---- GROUP_RECLAIM ------------------------------------------------------- */

static int reclaim_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_group_reclaim *o = (const lq_op_group_reclaim *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_group_reclaim, 4);
    lq_cmd_queue(c, o->queue, "aggregation_sets");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_own(c, o->queue, "sets");
    lq_cmd_own(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_int(c, LQ_BATCH_MAX);
    return LUNAQ_OK;
}

static int reclaim_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_group_reclaim *o = (lq_op_group_reclaim *)op;
    (void)i;
    lq_str stuck = lq_reply_str(lq_reply_at(reply, 2));
    o->sets = lq_reply_int(lq_reply_at(reply, 0), -1);
    o->tasks = lq_reply_int(lq_reply_at(reply, 1), 0);
    if (o->sets < 0)
        return lq_redis_odd(op);
    if (!stuck.len)
        return LUNAQ_OK;
    return lq_fail(&op->err, LUNAQ_EREPLY,
                   "redis: tasks cannot go back into group '%.*s': its key or "
                   "'groups' has a wrong type: ask redis-cli TYPE",
                   LQ_STR_ARG(stuck));
}

const lq_redis_op lq_row_group_reclaim = {.build = reclaim_build,
                                          .parse = reclaim_parse};
