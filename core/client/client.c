/* The client's handle: made, asked, closed. */
#include "client/client.h"
#include "client/handle.h"

#include "base/alloc.h"
#include "base/error.h"
#include "task/durable.h"

#define TIMEOUT_DEFAULT_MS 5000

int lq_client_new(lunaq_client **out, lq_caller *take_caller,
                  int64_t timeout_ms, lunaq_error *err)
{
    *out = NULL;
    lunaq_client *c = NULL;
    int rc = LUNAQ_OK;
    if (timeout_ms < 0) {
        rc = lq_fail(err, LUNAQ_EINVAL, "client: timeout_ms is negative");
        goto out;
    }
    c = lq_calloc(1, sizeof *c);
    if (!c) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    c->caller = take_caller;
    c->timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_DEFAULT_MS;
    take_caller = NULL;
    *out = c;
out:
    lq_caller_close(take_caller);
    return rc;
}

int lq_client_set_durable(lunaq_client *client, int64_t durable,
                          lunaq_error *err)
{
    int rc = lq_durable_check(durable, err);
    if (!rc)
        client->durable = durable;
    return rc;
}

void lunaq_client_close(lunaq_client *client)
{
    if (!client)
        return;
    lq_caller_close(client->caller);
    lq_map_release(&client->announced);
    lq_free(client);
}

int lq_client_call(lunaq_client *client, lq_op *op, lunaq_error *err)
{
    if (!client)
        return lq_fail(err, LUNAQ_EINVAL, "client: is NULL: open one first");
    return lq_caller_call(client->caller, op, client->timeout_ms, err);
}

int lq_client_name(lq_str *out, const char *what, const char *name,
                   lunaq_error *err)
{
    *out = lq_str_c(name);
    if (out->len == 0)
        return lq_fail(err, LUNAQ_EINVAL, "%s: is missing", what);
    /* Ids of Asynq's may be longer than ours, and must be found. */
    if (out->len > 8 * (size_t)LUNAQ_NAME_MAX)
        return lq_fail(err, LUNAQ_EINVAL, "%s: is longer than %d bytes", what,
                       8 * LUNAQ_NAME_MAX);
    return LUNAQ_OK;
}

int lunaq_client_ping(lunaq_client *client, lunaq_error *err)
{
    lq_op_ping op = {0};
    lq_op_init(&op.op, LQ_OP_PING);
    int rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}
