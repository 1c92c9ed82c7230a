/* The periodic entries that live schedulers announce. */
#include "client/handle.h"
#include "client/list.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/error.h"
#include "task/cron_options.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(lunaq_cron_info) ==
                  offsetof(lunaq_cron_info, servers) + sizeof(void *),
              "a new field must not hide in padding");

struct lunaq_cron_list {
    LQ_LIST(lunaq_cron_info);
};

LQ_LIST_FUNCTIONS(lunaq_cron_list, lunaq_cron_info)

static const char *text_or(lq_arena *mem, lq_str text, const char *otherwise)
{
    return text.p ? lq_arena_dup(mem, text) : otherwise;
}

/* What its options say. */
static void read_options(lunaq_cron_info *info, const lq_cron_msg *m,
                         lq_arena *mem)
{
    struct {
        const char *name;
        const char **to, *otherwise;
    } words[] = {{"Queue", &info->queue, "default"},
                 {"Name", &info->name, ""},
                 {"Missed", &info->missed, "once"},
                 {"Dst", &info->dst, "vixie"}};
    for (size_t i = 0; i < LQ_COUNT(words); i++)
        *words[i].to = text_or(
            mem,
            lq_cron_option(m->options, m->option_count, words[i].name, mem),
            words[i].otherwise);
    info->tz = text_or(mem, lq_cron_spec_zone(m->spec), "UTC");
}

/* Adds the server that says it schedules the entry. */
static bool add_server(lunaq_cron_info *info, lq_str server, lq_arena *mem)
{
    size_t n = 0;
    if (!server.p)
        return true;
    while (info->servers && info->servers[n])
        n++;
    const char **servers = lq_arena_alloc(mem, (n + 2) * sizeof *servers);
    if (!servers)
        return false;
    for (size_t i = 0; i < n; i++)
        servers[i] = info->servers[i];
    servers[n] = lq_arena_dup(mem, server);
    info->servers = servers;
    return servers[n] != NULL;
}

/* Every daemon schedules, so every one announces the same entries: one line for
 * each id, by the one that knows of the latest tick. */
static bool merge(lunaq_cron_info *seen, const lunaq_cron_info *info,
                  lq_str server, lq_arena *mem)
{
    seen->server_count++;
    if (info->last_at > seen->last_at ||
        (info->last_at == seen->last_at && info->next_at < seen->next_at)) {
        seen->last_at = info->last_at;
        seen->next_at = info->next_at;
    }
    return add_server(seen, server, mem);
}

/* by_id: of the items, which stay where they are. */
static int add(lunaq_cron_list *list, lq_map *by_id, lq_str entry,
               lunaq_error *err)
{
    lq_cron_msg m = {0};
    if (lq_cron_decode(&m, entry, NULL)) {
        lq_free((void *)(uintptr_t)m.options);
        return LUNAQ_OK;
    }
    lq_arena *mem = &list->mem;
    lunaq_cron_info *info = &list->items[list->count];
    *info = (lunaq_cron_info){
        .size = sizeof *info,
        .id = lq_arena_dup(mem, m.id),
        .spec = lq_arena_dup(mem, m.spec),
        .type = lq_arena_dup(mem, m.type),
        .payload = lq_arena_dup(mem, m.payload),
        .payload_len = m.payload.len,
        .next_at = m.next_ms,
        .last_at = m.prev_ms > 0 ? m.prev_ms : 0,
        .server_count = 1,
    };
    read_options(info, &m, mem);
    lq_str server = lq_cron_option(m.options, m.option_count, "Server", mem);
    lq_free((void *)(uintptr_t)m.options);
    bool ok = info->id && info->spec && info->type && info->queue &&
              info->payload && info->name && info->missed && info->dst &&
              info->tz;
    lunaq_cron_info *seen = ok ? lq_map_get(by_id, m.id) : NULL;
    if (seen)
        return merge(seen, info, server, mem) ? LUNAQ_OK : lq_fail_nomem(err);
    static const char *const none[] = {NULL};
    info->servers = none;
    if (!ok || !add_server(info, server, mem) ||
        !lq_map_set(by_id, m.id, info, NULL))
        return lq_fail_nomem(err);
    list->count++;
    return LUNAQ_OK;
}

static int by_spec(const void *a, const void *b)
{
    const lunaq_cron_info *x = a, *y = b;
    int order = strcmp(x->type, y->type);
    return order ? order : strcmp(x->spec, y->spec);
}

int lunaq_cron_list_open(lunaq_client *client, lunaq_cron_list **out,
                         lunaq_error *err)
{
    *out = NULL;
    lunaq_cron_list *list = NULL;
    lq_map by_id = {0};
    lq_op_crons op = {0};
    lq_op_init(&op.op, LQ_OP_CRONS);
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
        rc = add(list, &by_id, op.entries[i], err);
    if (!rc)
        qsort(list->items, list->count, sizeof *list->items, by_spec);
out:
    lq_map_release(&by_id);
    lq_op_release(&op.op);
    if (rc) {
        lunaq_cron_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
