/* By hand: run, archive, delete, one task or a whole state; another payload. */
#include "redis/inspect_rows.h"
#include "broker/inspect.h"
#include "redis/keys.h"

#include "task/state.h"

extern const lq_script lq_script_inspect_move, lq_script_inspect_update;

/* The script of both: id empty = a batch of `state`. */
static void build(lq_cmd *cmd, lq_str queue, lunaq_move move, lq_str id,
                  const lq_op_move_all *all)
{
    static const char *const keys[] = {
        "pending",  "active",    "lease",  "scheduled",       "retry",
        "archived", "completed", "groups", "aggregation_sets"};
    lq_cmd_script(cmd, &lq_script_inspect_move, LQ_COUNT(keys) + 2);
    for (size_t i = 0; i < LQ_COUNT(keys); i++)
        lq_cmd_queue(cmd, queue, keys[i]);
    lq_cmd_own(cmd, queue, "dropped");
    lq_cmd_own(cmd, queue, "limits");
    lq_cmd_c(cmd, lq_move_name(move));
    lq_cmd_queue(cmd, queue, "t:");
    lq_cmd_queue(cmd, queue, "g:");
    lq_cmd_queue(cmd, queue, "unique:");
    lq_cmd_str(cmd, id);
    lq_cmd_c(cmd, lunaq_state_name(all ? all->state : LUNAQ_STATE_ANY));
    lq_cmd_int(cmd, LQ_BATCH_MAX);
    lq_cmd_str(cmd, all ? all->group : (lq_str){0});
    lq_cmd_str(cmd, all ? all->type : (lq_str){0});
    lq_cmd_int(cmd, all ? all->skip : 0);
}

/* ---- one task ------------------------------------------------------------ */

static int move_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_move *op = (const lq_op_move *)base;
    (void)i;
    if (!lq_move_name(op->move) || op->id.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "move: needs a task id and run, archive or delete");
    build(cmd, op->queue, op->move, op->id, NULL);
    return LUNAQ_OK;
}

/* What a person can do about a state that does not allow the move. */
static int refuse(lunaq_error *err, const lq_op_move *op, lq_str state)
{
    const char *hint = "";
    if (lq_str_eq(state, LQ_STR("active")))
        hint = ": wait for its end, or cancel it";
    else if (lq_str_eq(state, LQ_STR("aggregating")))
        hint = " and being aggregated: wait until it is done";
    else
        hint = " already";
    return lq_fail(err, LUNAQ_ESTATE, "task %.*s in queue '%.*s' is %.*s%s",
                   LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue), LQ_STR_ARG(state),
                   hint);
}

static int move_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_move *op = (lq_op_move *)base;
    (void)i;
    switch (lq_reply_int(lq_reply_at(reply, 0), -3)) {
    case 1:
        return LUNAQ_OK;
    case 0:
        return lq_fail(&base->err, LUNAQ_ENOTFOUND,
                       "no task %.*s in queue '%.*s'", LQ_STR_ARG(op->id),
                       LQ_STR_ARG(op->queue));
    case -1:
        return refuse(&base->err, op, lq_reply_str(lq_reply_at(reply, 3)));
    case -2:
        return lq_fail(&base->err, LUNAQ_EREPLY,
                       "task %.*s in queue '%.*s': its key is not a hash; "
                       "look at it with redis-cli",
                       LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue));
    default:
        return lq_redis_odd(base);
    }
}

const lq_redis_op lq_inspect_move = {.build = move_build, .parse = move_parse};

/* ---- a batch of a state -------------------------------------------------- */

static int move_all_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_move_all *op = (const lq_op_move_all *)base;
    (void)i;
    if (!lq_move_name(op->move))
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "move: needs run, archive or delete");
    if (!lq_state_may_move(op->state, op->move))
        return lq_fail(&base->err, LUNAQ_ESTATE, "cannot %s all %s tasks",
                       lq_move_name(op->move), lunaq_state_name(op->state));
    build(cmd, op->queue, op->move, (lq_str){"", 0}, op);
    return LUNAQ_OK;
}

static int move_all_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_move_all *op = (lq_op_move_all *)base;
    (void)i;
    if (lq_reply_int(lq_reply_at(reply, 0), 0) != 1)
        return lq_redis_odd(base);
    op->moved = lq_reply_int(lq_reply_at(reply, 1), 0);
    op->left = lq_reply_int(lq_reply_at(reply, 2), 0);
    op->skip = lq_reply_int(lq_reply_at(reply, 4), 0);
    op->more = op->left > op->skip;
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_move_all = {.build = move_all_build,
                                         .parse = move_all_parse};

/* ---- another payload ----------------------------------------------------- */

static int update_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_update *op = (const lq_op_update *)base;
    (void)i;
    if (op->id.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL, "update: needs a task id");
    lq_cmd_script(cmd, &lq_script_inspect_update, 2);
    lq_cmd_queue_of(cmd, op->queue, "t:", op->id);
    lq_cmd_queue(cmd, op->queue, "aggregation_sets");
    lq_cmd_str(cmd, op->id);
    lq_cmd_str(cmd, op->payload);
    return LUNAQ_OK;
}

static int update_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    const lq_op_update *op = (const lq_op_update *)base;
    lq_str state = lq_reply_str(lq_reply_at(reply, 1));
    (void)i;
    switch (lq_reply_int(lq_reply_at(reply, 0), -3)) {
    case 1:
        return LUNAQ_OK;
    case 0:
        return lq_fail(&base->err, LUNAQ_ENOTFOUND,
                       "no task %.*s in queue '%.*s'", LQ_STR_ARG(op->id),
                       LQ_STR_ARG(op->queue));
    case -1:
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "task %.*s in queue '%.*s' is %.*s: only one that waits "
                       "or is archived can be updated",
                       LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue),
                       LQ_STR_ARG(state));
    case -2:
        return lq_fail(&base->err, LUNAQ_EPROTO,
                       "task %.*s in queue '%.*s' cannot be read: 'lunaq fsck' "
                       "says more",
                       LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue));
    default:
        return lq_redis_odd(base);
    }
}

const lq_redis_op lq_inspect_update = {.build = update_build,
                                       .parse = update_parse};
