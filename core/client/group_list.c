/* Groups: how many wait, since when, and what becomes of them. */
#include "client/group_rules.h"
#include "client/list.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <assert.h>
#include <stdlib.h>

#define GROUPS_MAX 100000 /* of a queue */

static_assert(sizeof(lunaq_group_info) ==
                  offsetof(lunaq_group_info, failures) + sizeof(int64_t),
              "a new field must not hide in padding");

struct lunaq_group_list {
    LQ_LIST(lunaq_group_info);
};

LQ_LIST_FUNCTIONS(lunaq_group_list, lunaq_group_info)

const char *lunaq_group_list_error(const lunaq_group_list *list, size_t i)
{
    return list ? lq_unread_at(&list->unread, i) : NULL;
}

/* One more, with its names; NULL when out of memory. */
static lunaq_group_info *add(lunaq_group_list *list, const char *queue,
                             lq_str name, lq_str type, lq_str error)
{
    void *items = lq_list_reserve(list->items, &list->room, list->count + 1,
                                  sizeof(*list->items));
    if (!items)
        return NULL;
    list->items = items;
    lunaq_group_info *info = &list->items[list->count];
    *info = (lunaq_group_info){.size = sizeof(*info),
                               .queue = queue,
                               .name = lq_arena_dup(&list->mem, name),
                               .type = lq_arena_dup(&list->mem, type),
                               .error = lq_arena_dup(&list->mem, error)};
    if (!info->name || !info->type || !info->error)
        return NULL;
    list->count++;
    return info;
}

static bool add_row(lunaq_group_list *list, const char *queue,
                    const lq_group_row *row, const lq_group_rules *rules)
{
    int64_t now = lq_now_ms();
    int64_t due = lq_group_rules_due_ms(rules, lq_str_c(queue), row);
    lunaq_group_info *info = add(list, queue, row->name, row->type, row->error);
    if (!info)
        return false;
    info->tasks = row->size;
    info->oldest_at = now - row->oldest_ms;
    info->newest_at = now - row->newest_ms;
    info->due_at = due < 0 ? 0 : now + due;
    info->failures = row->failures;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const lunaq_group_info *)a)->name,
                  ((const lunaq_group_info *)b)->name);
}

/* Sorts a queue's from `from` on, and makes one of those that came twice. */
static void tidy(lunaq_group_list *list, size_t from)
{
    lunaq_group_info *items = list->items;
    size_t n = from;
    if (list->count > from)
        qsort(items + from, list->count - from, sizeof(*items), by_name);
    for (size_t i = from; i < list->count; i++) {
        if (n == from || strcmp(items[n - 1].name, items[i].name) != 0) {
            items[n++] = items[i];
            continue;
        }
        int64_t in_sets = items[n - 1].aggregating + items[i].aggregating;
        if (items[i].tasks > 0)
            items[n - 1] = items[i];
        items[n - 1].aggregating = in_sets;
    }
    list->count = n;
}

static int add_queue(lunaq_client *client, lunaq_group_list *list, lq_str name,
                     const lq_group_rules *rules, lunaq_error *err)
{
    const char *queue = lq_arena_dup(&list->mem, name);
    lq_op_groups op = {.queue = name};
    size_t from = list->count;
    int rc = queue ? LUNAQ_OK : lq_fail_nomem(err);
    bool ok = true;
    do {
        lq_op_init(&op.op, LQ_OP_GROUPS);
        if (!rc)
            rc = lq_client_call(client, &op.op, err);
        for (size_t i = 0; !rc && i < op.count; i++)
            ok = ok && add_row(list, queue, &op.rows[i], rules);
        for (size_t i = 0; !rc && i < op.set_count; i++) {
            lunaq_group_info *info =
                add(list, queue, op.sets[i].group, LQ_STR(""), LQ_STR(""));
            ok = ok && info;
            if (info)
                info->aggregating = op.sets[i].size;
        }
        if (!rc && !ok)
            rc = lq_fail_nomem(err);
        op.set_count = 0;
        lq_op_release(&op.op);
    } while (!rc && op.cursor[0] && list->count - from < GROUPS_MAX);
    if (!rc)
        tidy(list, from);
    return rc;
}

int lunaq_group_list_open(lunaq_client *client, const char *queue,
                          lunaq_group_list **out, lunaq_error *err)
{
    lq_group_rules *rules = NULL;
    lunaq_group_list *list = NULL;
    lq_op_queues queues = {0};
    lq_str one = {0};
    int rc = queue ? lq_client_name(&one, "queue", queue, err) : LUNAQ_OK;

    *out = NULL;
    lq_op_init(&queues.op, LQ_OP_QUEUES);
    if (!rc && !queue)
        rc = lq_client_call(client, &queues.op, err);
    if (!rc)
        rc = lq_group_rules_open(&rules, client, err);
    if (rc)
        goto out;
    list = lq_calloc(1, sizeof(*list));
    if (!list) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    if (queue)
        rc = add_queue(client, list, one, rules, err);
    for (size_t i = 0; !rc && !queue && i < queues.count; i++) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        size_t before = list->count;
        rc = add_queue(client, list, queues.names[i], rules, &why);
        if (rc == LUNAQ_EREPLY) { /* it does not hide the others */
            list->count = before;
            rc = lq_unread_add(&list->unread, &list->mem, queues.names[i], &why,
                               err);
        } else if (rc) {
            lq_fail(err, rc, "%s", why.message);
        }
    }
out:
    lq_op_release(&queues.op);
    lq_group_rules_free(rules);
    if (rc) {
        lunaq_group_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
