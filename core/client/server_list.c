/* The live servers, lunaq's and Asynq's. */
#include "client/handle.h"
#include "client/list.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <cjson/cJSON.h>

#define PART_MIN 6 /* characters that may stand for an id */

static_assert(sizeof(lunaq_server_info) ==
                  offsetof(lunaq_server_info, remote_control) + sizeof(int64_t),
              "a new field must not hide in padding");

struct lunaq_server_list {
    LQ_LIST(lunaq_server_info);
};

LQ_LIST_FUNCTIONS(lunaq_server_list, lunaq_server_info)

static bool fits(lq_str id, lq_str part)
{
    if (lq_str_eq(id, part))
        return true;
    return part.len >= PART_MIN && id.len >= part.len &&
           (lq_str_starts(id, part) ||
            memcmp(id.p + id.len - part.len, part.p, part.len) == 0);
}

const lunaq_server_info *lunaq_server_list_find(const lunaq_server_list *list,
                                                const char *id,
                                                lunaq_error *err)
{
    const lunaq_server_info *found = NULL;
    for (size_t i = 0; i < lunaq_server_list_count(list); i++) {
        const lunaq_server_info *s = lunaq_server_list_at(list, i);
        if (!fits(lq_str_c(s->id), lq_str_c(id)))
            continue;
        if (found) {
            lq_fail(err, LUNAQ_EAMBIGUOUS,
                    "several servers have the id %s: give more of it", id);
            return NULL;
        }
        found = s;
    }
    if (!found)
        lq_fail(err, LUNAQ_ENOTFOUND,
                "no server %s lives: give its id, or at least %d characters of "
                "its beginning or end",
                id, PART_MIN);
    return found;
}

static bool fill_workers(lq_arena *mem, lunaq_server_info *info,
                         const lq_server_row *row)
{
    lunaq_worker_info *workers =
        lq_arena_alloc(mem, (row->worker_count + 1) * sizeof *workers);
    if (!workers)
        return false;
    info->workers = workers;
    for (size_t i = 0; i < row->worker_count; i++) {
        lq_worker_msg m;
        if (lq_worker_decode(&m, row->workers[i], NULL))
            continue; /* not ours to mend: it is rewritten every few seconds */
        lunaq_worker_info *w = &workers[info->worker_count++];
        w->task_id = lq_arena_dup(mem, m.task_id);
        w->type = lq_arena_dup(mem, m.type);
        w->queue = lq_arena_dup(mem, m.queue);
        w->payload = lq_arena_dup(mem, m.payload);
        w->payload_len = m.payload.len;
        w->started_at = m.start_ms;
        w->deadline_at = m.deadline_ms > 0 ? m.deadline_ms : 0;
        if (!w->task_id || !w->type || !w->queue || !w->payload)
            return false;
    }
    return true;
}

static bool fill_queues(lq_arena *mem, lunaq_server_info *info,
                        const lq_server_msg *m)
{
    lunaq_queue_weight *queues =
        lq_arena_alloc(mem, (m->queue_count + 1) * sizeof *queues);
    if (!queues)
        return false;
    for (size_t i = 0; i < m->queue_count; i++) {
        queues[i].queue = lq_arena_dup(mem, m->queues[i].name);
        queues[i].weight = m->queues[i].weight;
        if (!queues[i].queue)
            return false;
    }
    info->queues = queues;
    info->queue_count = m->queue_count;
    return true;
}

/* What lunaq's servers publish beside Asynq's record. */
static bool takes_orders(lq_str extra)
{
    cJSON *o = extra.p ? cJSON_ParseWithLength(extra.p, extra.len) : NULL;
    bool yes =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "remote_control"));
    cJSON_Delete(o);
    return yes;
}

static int add(lunaq_server_list *list, const lq_server_row *row,
               lunaq_error *err)
{
    lq_server_msg m = {0};
    if (lq_server_decode(&m, row->info, NULL)) {
        lq_free((void *)(uintptr_t)m.queues);
        return LUNAQ_OK;
    }
    lq_arena *mem = &list->mem;
    lunaq_server_info *info = &list->items[list->count];
    *info = (lunaq_server_info){
        .size = sizeof *info,
        .id = lq_arena_dup(mem, m.server_id),
        .host = lq_arena_dup(mem, m.host),
        .status = lq_arena_dup(mem, m.status),
        .pid = m.pid,
        .concurrency = m.concurrency,
        .strict = m.strict,
        .started_at = m.start_ms,
        .lunaq = row->extra.p != NULL,
        .remote_control = takes_orders(row->extra),
    };
    bool ok = info->id && info->host && info->status &&
              fill_queues(mem, info, &m) && fill_workers(mem, info, row);
    lq_free((void *)(uintptr_t)m.queues);
    if (!ok)
        return lq_fail_nomem(err);
    list->count++;
    return LUNAQ_OK;
}

int lunaq_server_list_open(lunaq_client *client, lunaq_server_list **out,
                           lunaq_error *err)
{
    *out = NULL;
    lunaq_server_list *list = NULL;
    lq_op_servers op = {0};
    lq_op_init(&op.op, LQ_OP_SERVERS);
    int rc = lq_client_call(client, &op.op, err);
    if (rc)
        goto out;
    list = lq_calloc(1, sizeof *list);
    if (list)
        list->items = lq_list_reserve(NULL, &list->room, op.count + 1,
                                      sizeof *list->items);
    if (!list || !list->items) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    for (size_t i = 0; !rc && i < op.count; i++)
        rc = add(list, &op.rows[i], err);
out:
    lq_op_release(&op.op);
    if (rc) {
        lunaq_server_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
