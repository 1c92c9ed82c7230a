/* What the daemons say of their handler files.
 *
 * A daemon publishes it as JSON beside its server record:
 * {"generation": 7, "rejected": "",
 *  "handlers": [{"type": …, "file": …, "doc": …, "hash": …,
 *                and what it says of: "queue", "max_retry", "timeout_ms",
 *                "retention_ms", "unique_ms", "concurrency"}, …]}
 */
#include "client/handle.h"
#include "client/list.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <cjson/cJSON.h>

static_assert(sizeof(lunaq_handler_info) ==
                  offsetof(lunaq_handler_info, concurrency) + sizeof(int64_t),
              "a new field must not hide in padding");

struct lunaq_handler_list {
    LQ_LIST(lunaq_handler_info);
};

LQ_LIST_FUNCTIONS(lunaq_handler_list, lunaq_handler_info)

/* A string member, "" when it is anything else. */
static char *text(lq_arena *mem, const cJSON *object, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    return lq_arena_dup(mem, lq_str_c(cJSON_GetStringValue(v)));
}

/* A count or a duration, -1 when it is anything else. */
static int64_t number(const cJSON *object, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    bool fits =
        cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < 9e15;
    return fits ? (int64_t)v->valuedouble : -1;
}

static int add(lunaq_handler_list *list, lq_str server_id, const cJSON *extra,
               const cJSON *handler, lunaq_error *err)
{
    void *items = lq_list_reserve(list->items, &list->room, list->count + 1,
                                  sizeof *list->items);
    if (!items)
        return lq_fail_nomem(err);
    list->items = items;
    lq_arena *mem = &list->mem;
    const cJSON *generation =
        cJSON_GetObjectItemCaseSensitive(extra, "generation");
    double g = cJSON_IsNumber(generation) ? generation->valuedouble : 0;
    lunaq_handler_info *info = &list->items[list->count];
    *info = (lunaq_handler_info){
        .size = sizeof *info,
        .server_id = lq_arena_dup(mem, server_id),
        .type = text(mem, handler, "type"),
        .file = text(mem, handler, "file"),
        .doc = text(mem, handler, "doc"),
        .hash = text(mem, handler, "hash"),
        .rejected = text(mem, extra, "rejected"),
        .generation = g > 0 && g < 9e15 ? (int64_t)g : 0,
        .queue = text(mem, handler, "queue"),
        .max_retry = number(handler, "max_retry"),
        .timeout_ms = number(handler, "timeout_ms"),
        .retention_ms = number(handler, "retention_ms"),
        .unique_ms = number(handler, "unique_ms"),
        .concurrency = number(handler, "concurrency"),
    };
    if (!info->server_id || !info->type || !info->file || !info->doc ||
        !info->hash || !info->rejected || !info->queue)
        return lq_fail_nomem(err);
    list->count++;
    return LUNAQ_OK;
}

static int add_server(lunaq_handler_list *list, const lq_server_row *row,
                      lunaq_error *err)
{
    lq_server_msg m = {0};
    int rc = LUNAQ_OK;
    cJSON *extra = NULL;
    if (!row->extra.p || lq_server_decode(&m, row->info, NULL))
        goto out;
    extra = cJSON_ParseWithLength(row->extra.p, row->extra.len);
    const cJSON *handlers = cJSON_GetObjectItemCaseSensitive(extra, "handlers");
    const cJSON *handler = NULL;
    cJSON_ArrayForEach(handler, handlers)
    {
        rc = add(list, m.server_id, extra, handler, err);
        if (rc)
            goto out;
    }
    /* Without handlers there still is something to say: why. */
    if (extra && cJSON_GetArraySize(handlers) == 0 &&
        cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(extra, "rejected")))
        rc = add(list, m.server_id, extra, NULL, err);
out:
    cJSON_Delete(extra);
    lq_free((void *)(uintptr_t)m.queues);
    return rc;
}

int lunaq_handler_list_open(lunaq_client *client, lunaq_handler_list **out,
                            lunaq_error *err)
{
    *out = NULL;
    lunaq_handler_list *list = NULL;
    lq_op_servers op = {0};
    lq_op_init(&op.op, LQ_OP_SERVERS);
    int rc = lq_client_call(client, &op.op, err);
    if (rc)
        goto out;
    list = lq_calloc(1, sizeof *list);
    if (!list) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    for (size_t i = 0; !rc && i < op.count; i++)
        rc = add_server(list, &op.rows[i], err);
out:
    lq_op_release(&op.op);
    if (rc) {
        lunaq_handler_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
