/* Moves by hand: one task, or all of a state. */
#include "client/handle.h"
#include "broker/inspect.h"

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

static lq_str reason_text(const char *reason)
{
    lq_str text = lq_str_c(reason);
    if (text.len == 0)
        text = LQ_STR("canceled by hand");
    if (text.len > LQ_ERROR_TEXT_MAX)
        text.len = LQ_ERROR_TEXT_MAX;
    return text;
}

static int cancel(lunaq_client *client, const char *queue, const char *id,
                  lq_str reason, bool attempt, lunaq_error *err)
{
    lq_op_cancel op = {.reason = reason, .attempt = attempt};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (!rc)
        rc = lq_client_name(&op.id, "task id", id, err);
    if (rc)
        return rc;
    lq_op_init(&op.op, LQ_OP_CANCEL);
    rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}

int lunaq_task_cancel(lunaq_client *client, const char *queue, const char *id,
                      const char *reason, lunaq_error *err)
{
    return cancel(client, queue, id, reason_text(reason), false, err);
}

int lunaq_task_end_attempt(lunaq_client *client, const char *queue,
                           const char *id, lunaq_error *err)
{
    return cancel(client, queue, id, (lq_str){0}, true, err);
}

int lunaq_task_update(lunaq_client *client, const char *queue, const char *id,
                      const void *payload, size_t payload_len, lunaq_error *err)
{
    lq_op_update op = {.payload = lq_str_n(payload, payload_len)};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (!rc)
        rc = lq_client_name(&op.id, "task id", id, err);
    if (!rc && payload_len > LQ_PAYLOAD_MAX)
        rc = lq_fail(err, LUNAQ_EINVAL, "payload: is longer than %zu bytes",
                     LQ_PAYLOAD_MAX);
    if (!rc && payload_len > 0 && !payload)
        rc = lq_fail(err, LUNAQ_EINVAL, "payload: is NULL");
    if (rc)
        return rc;
    lq_op_init(&op.op, LQ_OP_UPDATE);
    rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}
