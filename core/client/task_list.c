/* Lists of tasks: made from a broker's rows, and asked for by state. */
#include "client/handle.h"
#include "broker/inspect.h"
#include "client/task_rows.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"

#include <assert.h>

#define PAGE_SIZE_DEFAULT 30
#define PAGE_SIZE_MAX 1000

static_assert(sizeof(lunaq_task_info) ==
                  offsetof(lunaq_task_info, archived_at) + sizeof(int64_t),
              "a new field must not hide in padding");
static_assert(sizeof(lunaq_task_query) ==
                  offsetof(lunaq_task_query, page_size) + sizeof(int64_t),
              "a new field must not hide in padding");

lunaq_task_list *lq_task_list_new(void)
{
    return lq_calloc(1, sizeof(lunaq_task_list));
}

LQ_LIST_FUNCTIONS(lunaq_task_list, lunaq_task_info)

const char *lunaq_task_list_error(const lunaq_task_list *list, size_t i)
{
    return list ? lq_unread_at(&list->unread, i) : NULL;
}

/* ---- rows → infos -------------------------------------------------------- */

static int64_t s_to_ms(int64_t s)
{
    return s > 0 && s < INT64_MAX / 1000 ? s * 1000 : 0;
}

static int64_t next_at(const lq_task_row *row)
{
    switch (row->state) {
    case LUNAQ_SCHEDULED:
    case LUNAQ_RETRY:
    case LUNAQ_COMPLETED:
        return row->at_ms;
    default:
        return 0;
    }
}

static bool copy_headers(lq_arena *mem, lunaq_task_info *info, const lq_task *t)
{
    if (t->header_count == 0)
        return true;
    lunaq_header *headers =
        lq_arena_alloc(mem, t->header_count * sizeof *headers);
    if (!headers)
        return false;
    for (size_t i = 0; i < t->header_count; i++) {
        headers[i].name = lq_arena_dup(mem, t->headers[i].key);
        headers[i].value = lq_arena_dup(mem, t->headers[i].value);
        if (!headers[i].name || !headers[i].value)
            return false;
    }
    info->headers = headers;
    info->header_count = t->header_count;
    return true;
}

static bool fill(lq_arena *mem, lunaq_task_info *info, const lq_task_row *row)
{
    lq_task t = {0};
    lunaq_error why = LUNAQ_ERROR_INIT;
    bool ok = false;
    if (!row->msg.p) {
        t.error_msg = LQ_STR("there is no task of this id: delete it");
    } else if (lq_task_decode(&t, row->msg, &why)) {
        lq_task_release(&t);
        t.type = LQ_STR(LQ_TYPE_UNDECODABLE);
        t.payload = row->msg;
        t.error_msg = lq_str_c(why.message);
    }
    *info = (lunaq_task_info){
        .size = sizeof *info,
        .id = lq_arena_dup(mem, row->id),
        .type = lq_arena_dup(mem, t.type),
        .queue = lq_arena_dup(mem, row->queue),
        .group = lq_arena_dup(mem, t.group_key),
        .error = lq_arena_dup(mem, t.error_msg),
        .payload = lq_arena_dup(mem, t.payload),
        .payload_len = t.payload.len,
        .result = lq_arena_dup(mem, row->result),
        .result_len = row->result.len,
        .max_retry = t.max_retry,
        .retried = t.retried,
        .crashes = row->crashes,
        .timeout_ms = s_to_ms(t.timeout_s),
        .deadline_at = s_to_ms(t.deadline_s),
        .retention_ms = s_to_ms(t.retention_s),
        .last_failed_at = s_to_ms(t.last_failed_s),
        .completed_at = s_to_ms(t.completed_s),
        .next_at = next_at(row),
        .lease_at = row->state == LUNAQ_ACTIVE ? row->at_ms : 0,
        .state = row->state,
        .unique_key = lq_arena_dup(mem, t.unique_key),
        .cancel = lq_arena_dup(mem, row->cancel),
        .unique_left_ms = row->lock_ms,
        .pending_at = row->since_ms,
        .orphaned = row->state == LUNAQ_ACTIVE && row->at_ms <= lq_now_ms(),
        .archived_at = row->state == LUNAQ_ARCHIVED ? row->at_ms : 0,
    };
    if (info->id && info->type && info->queue && info->group && info->error &&
        info->payload && info->result && info->unique_key && info->cancel)
        ok = copy_headers(mem, info, &t);
    lq_task_release(&t);
    return ok;
}

int lq_task_list_add(lunaq_task_list *list, const lq_task_row *rows,
                     size_t count, lunaq_error *err)
{
    void *items = lq_list_reserve(list->items, &list->room, list->count + count,
                                  sizeof *list->items);
    if (!items)
        return lq_fail_nomem(err);
    list->items = items;
    for (size_t i = 0; i < count; i++) {
        if (!fill(&list->mem, &list->items[list->count], &rows[i]))
            return lq_fail_nomem(err);
        list->count++;
    }
    return LUNAQ_OK;
}

/* ---- by state ------------------------------------------------------------ */

static int check(const lunaq_task_query *q, lunaq_error *err)
{
    if (q->state < LUNAQ_STATE_ANY || q->state > LUNAQ_AGGREGATING)
        return lq_fail(err, LUNAQ_EINVAL, "state: there is no state %lld",
                       (long long)q->state);
    if (q->page < 0 || q->page > INT32_MAX)
        return lq_fail(err, LUNAQ_EINVAL, "page: must be 0 or more");
    if (q->page_size < 0 || q->page_size > PAGE_SIZE_MAX)
        return lq_fail(err, LUNAQ_EINVAL, "page_size: must be 1 to %d",
                       PAGE_SIZE_MAX);
    if (q->group && q->state != LUNAQ_AGGREGATING)
        return lq_fail(err, LUNAQ_EINVAL,
                       "group: only with the state aggregating");
    return LUNAQ_OK;
}

static int list_state(lunaq_client *client, lunaq_task_list *list,
                      const lunaq_task_query *q, lq_str queue,
                      lunaq_state state, lunaq_error *err)
{
    lq_op_task_list op = {.queue = queue,
                          .state = state,
                          .group = lq_str_c(q->group),
                          .page = q->page,
                          .page_size = q->page_size};
    lq_op_init(&op.op, LQ_OP_TASK_LIST);
    int rc = lq_client_call(client, &op.op, err);
    if (!rc)
        rc = lq_task_list_add(list, op.rows, op.count, err);
    lq_op_release(&op.op);
    return rc;
}

/* One state, or all; what cannot be read of it does not hide the rest. */
static int list_queue(lunaq_client *client, lunaq_task_list *list,
                      const lunaq_task_query *q, lq_str queue, lunaq_error *err)
{
    int first = q->state ? (int)q->state : LUNAQ_ACTIVE;
    int last = q->state ? (int)q->state : LUNAQ_AGGREGATING;
    lunaq_error odd = LUNAQ_ERROR_INIT;
    for (int s = first; s <= last; s++) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        int rc = list_state(client, list, q, queue, (lunaq_state)s, &why);
        if (rc && rc != LUNAQ_EREPLY)
            return lq_fail(err, rc, "%s", why.message);
        if (rc && !odd.code)
            odd = why;
    }
    return odd.code ? lq_unread_add(&list->unread, &list->mem, queue, &odd, err)
                    : LUNAQ_OK;
}

int lunaq_task_list_open(lunaq_client *client, const lunaq_task_query *query,
                         lunaq_task_list **out, lunaq_error *err)
{
    *out = NULL;
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    lunaq_task_list *list = NULL;
    lq_op_queues queues = {0};
    lq_op_init(&queues.op, LQ_OP_QUEUES);
    int rc = LUNAQ_OK;
    if (query)
        rc = lq_sized_copy(&q, sizeof q, query, "lunaq_task_query", err);
    if (!rc)
        rc = check(&q, err);
    if (rc)
        goto out;
    if (q.page_size == 0)
        q.page_size = PAGE_SIZE_DEFAULT;
    list = lq_task_list_new();
    if (!list) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    if (q.queue) {
        lq_str queue;
        rc = lq_client_name(&queue, "queue", q.queue, err);
        if (!rc && q.state)
            rc = list_state(client, list, &q, queue, (lunaq_state)q.state, err);
        else if (!rc)
            rc = list_queue(client, list, &q, queue, err);
        goto out;
    }
    rc = lq_client_call(client, &queues.op, err);
    for (size_t i = 0; !rc && i < queues.count; i++)
        rc = list_queue(client, list, &q, queues.names[i], err);
out:
    lq_op_release(&queues.op);
    if (rc) {
        lunaq_task_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}
