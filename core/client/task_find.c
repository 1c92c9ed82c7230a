/* Finding tasks by id, or by a piece of one, in all queues.
 *
 * The whole id costs one round trip.  Only when it is nobody's are the queues
 * walked for ids that begin or end with it.
 */
#include "client/handle.h"
#include "broker/inspect.h"
#include "client/task_rows.h"

#include "base/error.h"

#define PART_MIN 6   /* characters that may stand for an id */
#define HITS_MAX 100 /* more than anyone reads */

static int get(lunaq_client *client, lunaq_task_list *list,
               const lq_str *queues, size_t count, lq_str id, lunaq_error *err)
{
    lq_op_task_get op = {.queues = queues, .queue_count = count, .id = id};
    lq_op_init(&op.op, LQ_OP_TASK_GET);
    int rc = lq_client_call(client, &op.op, err);
    if (!rc)
        rc = lq_task_list_add(list, op.rows, op.count, err);
    lq_op_release(&op.op);
    return rc;
}

/* Remembers the first queue that cannot be read; other failures stay. */
static int pass_over(lunaq_error *odd, int rc, lq_str queue,
                     const lunaq_error *why, lunaq_error *err)
{
    if (rc && rc != LUNAQ_EREPLY)
        return lq_fail(err, rc, "%s", why->message);
    if (rc && !odd->code) {
        *odd = *why;
        lq_error_prefix(odd, "queue '%.*s'", LQ_STR_ARG(queue));
    }
    return LUNAQ_OK;
}

static int get_each(lunaq_client *client, lunaq_task_list *list,
                    const lq_str *queues, size_t count, lq_str id,
                    lunaq_error *odd, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    for (size_t i = 0; !rc && i < count; i++) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        rc = get(client, list, &queues[i], 1, id, &why);
        rc = pass_over(odd, rc, queues[i], &why, err);
    }
    return rc;
}

static bool listed(const lunaq_task_list *list, lq_str queue, lq_str id)
{
    for (size_t i = 0; i < list->count; i++)
        if (lq_str_eq(lq_str_c(list->items[i].id), id) &&
            lq_str_eq(lq_str_c(list->items[i].queue), queue))
            return true;
    return false;
}

static int scan(lunaq_client *client, lunaq_task_list *list, lq_str queue,
                lq_str part, lunaq_error *err)
{
    lq_op_task_scan op = {.queue = queue, .part = part};
    int rc = LUNAQ_OK;
    do {
        lq_op_init(&op.op, LQ_OP_TASK_SCAN);
        rc = lq_client_call(client, &op.op, err);
        /* A walk may meet a task twice when it moves meanwhile. */
        for (size_t i = 0; !rc && i < op.count && list->count < HITS_MAX; i++)
            if (!listed(list, queue, op.ids[i]))
                rc = get(client, list, &queue, 1, op.ids[i], err);
    } while (!rc && list->count < HITS_MAX && strcmp(op.cursor, "0") != 0);
    lq_op_release(&op.op);
    return rc;
}

static int find(lunaq_client *client, lunaq_task_list *list,
                const lq_str *queues, size_t count, lq_str id, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    lunaq_error odd = LUNAQ_ERROR_INIT, why = LUNAQ_ERROR_INIT;
    if (count > 0)
        rc = get(client, list, queues, count, id, &why);
    if (rc == LUNAQ_EREPLY)
        rc = get_each(client, list, queues, count, id, &odd, err);
    else if (rc)
        lq_fail(err, rc, "%s", why.message);
    if (rc || list->count > 0)
        return rc;
    if (id.len < PART_MIN && !odd.code)
        return lq_fail(err, LUNAQ_ENOTFOUND,
                       "no task %.*s: give its id, or at least %d characters "
                       "of its beginning or end",
                       LQ_STR_ARG(id), PART_MIN);
    for (size_t i = 0;
         !rc && id.len >= PART_MIN && i < count && list->count < HITS_MAX;
         i++) {
        why = (lunaq_error)LUNAQ_ERROR_INIT;
        rc = scan(client, list, queues[i], id, &why);
        rc = pass_over(&odd, rc, queues[i], &why, err);
    }
    if (!rc && list->count == 0 && odd.code)
        rc = lq_fail(err, odd.code, "%s", odd.message);
    else if (!rc && list->count == 0)
        rc = lq_fail(err, LUNAQ_ENOTFOUND,
                     "no task %.*s: it is done and not kept, or never was",
                     LQ_STR_ARG(id));
    return rc;
}

int lunaq_task_find(lunaq_client *client, const char *queue, const char *id,
                    lunaq_task_list **out, lunaq_error *err)
{
    *out = NULL;
    lq_op_queues queues = {0};
    lq_op_init(&queues.op, LQ_OP_QUEUES);
    lunaq_task_list *list = NULL;
    lq_str name, one;
    int rc = lq_client_name(&name, "task id", id, err);
    if (rc)
        goto out;
    list = lq_task_list_new();
    if (!list) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    if (queue) {
        rc = lq_client_name(&one, "queue", queue, err);
        if (!rc)
            rc = find(client, list, &one, 1, name, err);
    } else {
        rc = lq_client_call(client, &queues.op, err);
        if (!rc)
            rc = find(client, list, queues.names, queues.count, name, err);
    }
out:
    lq_op_release(&queues.op);
    if (rc) {
        lunaq_task_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
