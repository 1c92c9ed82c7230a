/* What a periodic entry enqueued. */
#include "client/handle.h"
#include "client/list.h"
#include "broker/inspect.h"

#include "base/error.h"

struct lunaq_cron_history {
    LQ_LIST(lunaq_cron_event);
};

LQ_LIST_FUNCTIONS(lunaq_cron_history, lunaq_cron_event)

static int keep(lunaq_cron_history *h, const lq_op_cron_history *op,
                lunaq_error *err)
{
    h->items = lq_list_reserve(NULL, &h->room, op->count + 1, sizeof *h->items);
    if (!h->items)
        return lq_fail_nomem(err);
    for (; h->count < op->count; h->count++) {
        const lq_cron_event *e = &op->events[h->count];
        h->items[h->count] =
            (lunaq_cron_event){.size = sizeof *h->items,
                               .task_id = lq_arena_dup(&h->mem, e->task_id),
                               .at = e->at_ms};
        if (!h->items[h->count].task_id)
            return lq_fail_nomem(err);
    }
    return LUNAQ_OK;
}

int lunaq_cron_history_open(lunaq_client *client, const char *entry_id,
                            size_t limit, lunaq_cron_history **out,
                            lunaq_error *err)
{
    lq_op_cron_history op = {.entry_id = lq_str_c(entry_id), .limit = limit};
    lunaq_cron_history *h = NULL;
    *out = NULL;
    if (!entry_id || !*entry_id)
        return lq_fail(err, LUNAQ_EINVAL,
                       "an entry's history: of which entry?");
    lq_op_init(&op.op, LQ_OP_CRON_HISTORY);
    int rc = lq_client_call(client, &op.op, err);
    if (rc)
        goto out;
    h = lq_calloc(1, sizeof *h);
    rc = h ? keep(h, &op, err) : lq_fail_nomem(err);
out:
    lq_op_release(&op.op);
    if (rc) {
        lunaq_cron_history_free(h);
        return rc;
    }
    *out = h;
    return LUNAQ_OK;
}
