/* Orders to servers: found by a piece of their id, told to be quiet or stop. */
#include "client/handle.h"

#include "base/error.h"
#include "broker/order.h"

#include <stdio.h>

static const char *word_of(lunaq_order order)
{
    switch (order) {
    case LUNAQ_ORDER_QUIET:
        return "quiet";
    case LUNAQ_ORDER_STOP:
        return "stop";
    }
    return NULL;
}

static int may(const lunaq_server_info *s, lunaq_error *err)
{
    if (!s->lunaq)
        return lq_fail(err, LUNAQ_ESTATE,
                       "server %s is no server of lunaq's: send its process "
                       "%lld on %s the signal TSTP or TERM",
                       s->id, (long long)s->pid, s->host);
    if (!s->remote_control)
        return lq_fail(err, LUNAQ_ESTATE,
                       "server %s takes no orders from afar (remote_control = "
                       "false): send its process %lld on %s the signal TSTP "
                       "or TERM",
                       s->id, (long long)s->pid, s->host);
    return LUNAQ_OK;
}

static int give(lunaq_client *client, const lunaq_server_info *s,
                const char *word, const char *who, lunaq_error *err)
{
    char text[LQ_ORDER_MAX];
    int n = snprintf(text, sizeof text, "%s %s", word,
                     who && *who ? who : "somebody");
    lq_op_order op = {
        .host = lq_str_c(s->host),
        .server_id = lq_str_c(s->id),
        .pid = (int32_t)s->pid,
        .text =
            lq_str_n(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1)};
    lq_op_init(&op.op, LQ_OP_ORDER);
    int rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}

int lunaq_server_order(lunaq_client *client, const char *server_id,
                       lunaq_order order, const char *who, lunaq_error *err)
{
    lunaq_server_list *list = NULL;
    lunaq_error own = LUNAQ_ERROR_INIT;
    const char *word = word_of(order);
    lq_str id;
    err = err ? err : &own;
    int rc = lq_client_name(&id, "server id", server_id, err);
    if (!rc && !word)
        rc = lq_fail(err, LUNAQ_EINVAL, "order: there is no order %d",
                     (int)order);
    if (!rc)
        rc = lunaq_server_list_open(client, &list, err);
    if (!rc) {
        const lunaq_server_info *s =
            lunaq_server_list_find(list, server_id, err);
        rc = s ? may(s, err) : err->code;
        if (s && !rc)
            rc = give(client, s, word, who, err);
    }
    lunaq_server_list_free(list);
    return rc;
}
