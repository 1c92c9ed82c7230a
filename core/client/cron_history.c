/* What a periodic entry enqueued. */
#include "client/handle.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/error.h"

struct lunaq_cron_history {
    lq_arena mem;
    lunaq_cron_event *items;
    size_t count;
};

size_t lunaq_cron_history_count(const lunaq_cron_history *history)
{
    return history ? history->count : 0;
}

const lunaq_cron_event *lunaq_cron_history_at(const lunaq_cron_history *history,
                                              size_t i)
{
    return history && i < history->count ? &history->items[i] : NULL;
}

void lunaq_cron_history_free(lunaq_cron_history *history)
{
    if (!history)
        return;
    lq_arena_release(&history->mem);
    lq_free(history);
}

static int keep(lunaq_cron_history *h, const lq_op_cron_history *op,
                lunaq_error *err)
{
    h->items = lq_arena_alloc(&h->mem, (op->count + 1) * sizeof *h->items);
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
