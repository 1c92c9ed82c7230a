/* The periodic entries that live schedulers announce. */
#include "client/handle.h"

#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(lunaq_cron_info) ==
                  offsetof(lunaq_cron_info, server_count) + sizeof(size_t),
              "a new field must not hide in padding");

struct lunaq_cron_list {
    lq_arena mem;
    lunaq_cron_info *items;
    size_t count;
};

size_t lunaq_cron_list_count(const lunaq_cron_list *list)
{
    return list ? list->count : 0;
}

const lunaq_cron_info *lunaq_cron_list_at(const lunaq_cron_list *list, size_t i)
{
    return list && i < list->count ? &list->items[i] : NULL;
}

void lunaq_cron_list_free(lunaq_cron_list *list)
{
    if (!list)
        return;
    lq_arena_release(&list->mem);
    lq_free(list);
}

/* The queue among the options: Queue("low"), quoted as Go quotes.  Escapes are
 * taken as the character behind the backslash, which is right for '"' and '\';
 * names with others do not exist in practice. */
static char *queue_of(lq_arena *mem, const lq_cron_msg *m)
{
    lq_str head = LQ_STR("Queue(\"");
    for (size_t i = 0; i < m->option_count; i++) {
        lq_str o = m->options[i];
        if (!lq_str_starts(o, head) || o.len < head.len + 2)
            continue;
        char *name =
            lq_arena_dup(mem, lq_str_n(o.p + head.len, o.len - head.len - 2));
        if (!name)
            return NULL;
        char *to = name;
        for (const char *from = name; *from; from++) {
            if (*from == '\\' && from[1])
                from++;
            *to++ = *from;
        }
        *to = '\0';
        return name;
    }
    return lq_arena_dup(mem, LQ_STR("default"));
}

static int add(lunaq_cron_list *list, lq_str entry, lunaq_error *err)
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
        .queue = queue_of(mem, &m),
        .payload = lq_arena_dup(mem, m.payload),
        .payload_len = m.payload.len,
        .next_at = m.next_ms,
        .last_at = m.prev_ms > 0 ? m.prev_ms : 0,
        .server_count = 1,
    };
    lq_free((void *)(uintptr_t)m.options);
    if (!info->id || !info->spec || !info->type || !info->queue ||
        !info->payload)
        return lq_fail_nomem(err);
    /* Every daemon schedules, so every one announces the same entries: one
     * line for each id, by the one that knows of the latest tick. */
    for (size_t i = 0; i < list->count; i++) {
        lunaq_cron_info *seen = &list->items[i];
        if (strcmp(seen->id, info->id) != 0)
            continue;
        seen->server_count++;
        if (info->last_at > seen->last_at ||
            (info->last_at == seen->last_at && info->next_at < seen->next_at)) {
            seen->last_at = info->last_at;
            seen->next_at = info->next_at;
        }
        return LUNAQ_OK;
    }
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
    lq_op_crons op = {0};
    lq_op_init(&op.op, LQ_OP_CRONS);
    int rc = lq_client_call(client, &op.op, err);
    if (rc)
        goto out;
    list = lq_calloc(1, sizeof *list);
    if (list)
        list->items =
            lq_arena_alloc(&list->mem, (op.count + 1) * sizeof *list->items);
    if (!list || !list->items) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    for (size_t i = 0; !rc && i < op.count; i++)
        rc = add(list, op.entries[i], err);
    qsort(list->items, list->count, sizeof *list->items, by_spec);
out:
    lq_op_release(&op.op);
    if (rc) {
        lunaq_cron_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
