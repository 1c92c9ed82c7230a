/* Where a queue lives in a Redis Cluster. */
#include "broker/place.h"
#include "client/handle.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

static void tell(const lq_place_node *from, bool master, lunaq_node_fn *node,
                 void *ud)
{
    char addr[300], id[64];
    bool six = from->host.len && memchr(from->host.p, ':', from->host.len);
    snprintf(addr, sizeof addr, six ? "[%.*s]:%lld" : "%.*s:%lld",
             LQ_STR_ARG(from->host), (long long)from->port);
    snprintf(id, sizeof id, "%.*s", LQ_STR_ARG(from->id));
    lunaq_node n = {.size = sizeof n, .id = id, .addr = addr, .master = master};
    node(ud, &n);
}

int lunaq_queue_place(lunaq_client *client, const char *queue, int64_t *slot,
                      lunaq_node_fn *node, void *ud, lunaq_error *err)
{
    lq_op_queue_place op = {.slot = -1};
    lq_op_init(&op.op, LQ_OP_QUEUE_PLACE);
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (rc)
        goto out;
    rc = lq_client_call(client, &op.op, err);
    if (client && rc == LUNAQ_EINVAL)
        rc =
            lq_fail(err, LUNAQ_ESTATE,
                    "the broker is no Redis Cluster: its queues have no slots");
    for (size_t i = 0; !rc && node && i < op.count; i++)
        tell(&op.nodes[i], i == 0, node, ud);
    if (!rc && slot)
        *slot = op.slot;
out:
    lq_op_release(&op.op);
    return rc;
}
