/* Moves by hand: one task, or all of a state. */
#include "client/handle.h"

#include "base/error.h"

static int move(lunaq_client *client, const char *queue, const char *id,
                lunaq_move how, lunaq_error *err)
{
    lq_op_move op = {.move = how};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (!rc)
        rc = lq_client_name(&op.id, "task id", id, err);
    if (rc)
        return rc;
    lq_op_init(&op.op, LQ_OP_MOVE);
    rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}

int lunaq_task_run(lunaq_client *client, const char *queue, const char *id,
                   lunaq_error *err)
{
    return move(client, queue, id, LUNAQ_MOVE_RUN, err);
}

int lunaq_task_archive(lunaq_client *client, const char *queue, const char *id,
                       lunaq_error *err)
{
    return move(client, queue, id, LUNAQ_MOVE_ARCHIVE, err);
}

int lunaq_task_delete(lunaq_client *client, const char *queue, const char *id,
                      lunaq_error *err)
{
    return move(client, queue, id, LUNAQ_MOVE_DELETE, err);
}

int lunaq_task_cancel(lunaq_client *client, const char *queue, const char *id,
                      const char *reason, lunaq_error *err)
{
    lq_op_cancel op = {.reason = lq_str_c(reason)};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (!rc)
        rc = lq_client_name(&op.id, "task id", id, err);
    if (rc)
        return rc;
    if (op.reason.len == 0)
        op.reason = LQ_STR("canceled by hand");
    if (op.reason.len > LQ_ERROR_TEXT_MAX)
        op.reason.len = LQ_ERROR_TEXT_MAX;
    lq_op_init(&op.op, LQ_OP_CANCEL);
    rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}

int lunaq_task_move_all(lunaq_client *client, const char *queue,
                        lunaq_state state, lunaq_move how, int64_t *moved,
                        lunaq_error *err)
{
    lq_op_move_all op = {.state = state, .move = how};
    int64_t sum = 0, limit = 0;
    if (moved)
        *moved = 0;
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (rc)
        return rc;
    /* What was there at the first batch is moved, not what keeps coming: tasks
     * that are run again may fail into the same state again. */
    do {
        lq_op_init(&op.op, LQ_OP_MOVE_ALL);
        rc = lq_client_call(client, &op.op, err);
        if (rc)
            break;
        if (limit == 0)
            limit = op.moved + op.left;
        sum += op.moved;
    } while (op.more && sum < limit);
    lq_op_release(&op.op);
    if (moved)
        *moved = sum;
    return rc;
}
