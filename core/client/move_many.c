/* Moves by hand of many tasks: of queues, states, groups, types. */
#include "client/handle.h"
#include "broker/inspect.h"

#include "base/error.h"
#include "base/sized.h"
#include "task/state.h"

#include <assert.h>

#define PAGE 500
#define CANCEL_ROUNDS 20 /* producers may add meanwhile */

static_assert(sizeof(lunaq_task_filter) ==
                  offsetof(lunaq_task_filter, state) + sizeof(int64_t),
              "a new field must not hide in padding");

/* What is done with those of one queue and state. */
struct many {
    lunaq_client *client;
    lunaq_task_filter filter;
    lunaq_move how; /* 0: cancel, or end the attempt */
    const char *reason;
    bool attempt;
    int64_t sum;
    lunaq_error *err;
};

static int move_state(struct many *m, lq_str queue, lunaq_state state)
{
    lq_op_move_all op = {.queue = queue,
                         .state = state,
                         .move = m->how,
                         .group = lq_str_c(m->filter.group),
                         .type = lq_str_c(m->filter.type)};
    int64_t moved = 0, limit = 0;
    int rc;
    /* What was there at the first batch is moved, not what keeps coming: tasks
     * that are run again may fail into the same state again. */
    do {
        lq_op_init(&op.op, LQ_OP_MOVE_ALL);
        rc = lq_client_call(m->client, &op.op, m->err);
        if (rc)
            break;
        if (limit == 0)
            limit = op.moved + op.left;
        moved += op.moved;
    } while (op.more && moved + op.skip < limit);
    lq_op_release(&op.op);
    m->sum += moved;
    return rc;
}

/* ---- cancel -------------------------------------------------------------- */

/* Of a page: those that went on meanwhile are left out.  *stayed counts those
 * that are still where they were. */
static int cancel_page(struct many *m, const lunaq_task_list *list,
                       int64_t *stayed)
{
    for (size_t i = 0; i < lunaq_task_list_count(list); i++) {
        const lunaq_task_info *t = lunaq_task_list_at(list, i);
        if (m->filter.type && strcmp(m->filter.type, t->type) != 0) {
            ++*stayed;
            continue;
        }
        int rc = m->attempt ? lunaq_task_end_attempt(m->client, t->queue, t->id,
                                                     m->err)
                            : lunaq_task_cancel(m->client, t->queue, t->id,
                                                m->reason, m->err);
        if (rc == LUNAQ_OK)
            m->sum++;
        else if (rc != LUNAQ_ENOTFOUND && rc != LUNAQ_ESTATE)
            return rc;
        if (rc != LUNAQ_OK || t->state == LUNAQ_ACTIVE)
            ++*stayed;
    }
    return LUNAQ_OK;
}

/* Once over all pages.  Waiting tasks leave their state when they are canceled,
 * so a page of which all went is asked for again. */
static int cancel_pages(struct many *m, lq_str queue, lunaq_state state)
{
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    q.queue = queue.p;
    q.group = m->filter.group;
    q.state = state;
    q.page_size = PAGE;
    for (;;) {
        lunaq_task_list *list = NULL;
        int64_t stayed = 0;
        int rc = lunaq_task_list_open(m->client, &q, &list, m->err);
        int64_t seen = (int64_t)lunaq_task_list_count(list);
        if (!rc)
            rc = cancel_page(m, list, &stayed);
        lunaq_task_list_free(list);
        if (rc || seen < PAGE)
            return rc;
        q.page += stayed > 0;
    }
}

/* Where some of a page stay, others move up and are missed: once more, until
 * nothing is left to cancel. */
static int cancel_state(struct many *m, lq_str queue, lunaq_state state)
{
    int64_t before;
    int rc, rounds = 0;
    do {
        before = m->sum;
        rc = cancel_pages(m, queue, state);
    } while (!rc && m->sum > before && state != LUNAQ_ACTIVE &&
             ++rounds < CANCEL_ROUNDS);
    return rc;
}

/* ---- which ----------------------------------------------------------------
 */

static bool may_cancel(const struct many *m, lunaq_state state)
{
    return m->attempt ? state == LUNAQ_ACTIVE
                      : state != LUNAQ_ARCHIVED && state != LUNAQ_COMPLETED;
}

static bool may(const struct many *m, lunaq_state state)
{
    if (m->filter.state)
        return m->filter.state == (int64_t)state;
    if (m->filter.group)
        return state == LUNAQ_AGGREGATING;
    if (m->how) /* what succeeded is run or archived only when it is named */
        return lq_state_may_move(state, m->how) &&
               (state != LUNAQ_COMPLETED || m->how == LUNAQ_MOVE_DELETE);
    return may_cancel(m, state);
}

/* A state after those that lead into it: nothing is moved twice.  One that
 * cannot be read keeps back none of the others: the first is in *odd. */
static int do_queue(struct many *m, lq_str queue, lunaq_error *odd)
{
    static const lunaq_state order[] = {
        LUNAQ_ARCHIVED,  LUNAQ_COMPLETED,   LUNAQ_PENDING, LUNAQ_RETRY,
        LUNAQ_SCHEDULED, LUNAQ_AGGREGATING, LUNAQ_ACTIVE};
    for (size_t i = 0; i < LQ_COUNT(order); i++) {
        int rc = LUNAQ_OK;
        if (may(m, order[i]))
            rc = m->how ? move_state(m, queue, order[i])
                        : cancel_state(m, queue, order[i]);
        if (rc && rc != LUNAQ_EREPLY)
            return rc;
        if (rc && !odd->code) {
            lq_error_prefix(m->err, "queue '%.*s'", LQ_STR_ARG(queue));
            *odd = *m->err;
        }
    }
    return LUNAQ_OK;
}

static int check(struct many *m, const lunaq_task_filter *filter)
{
    const lunaq_task_filter *f = &m->filter;
    int rc = LUNAQ_OK;
    if (filter)
        rc = lq_sized_copy(&m->filter, sizeof m->filter, filter,
                           "lunaq_task_filter", m->err);
    if (rc)
        return rc;
    if (f->state < LUNAQ_STATE_ANY || f->state > LUNAQ_AGGREGATING)
        return lq_fail(m->err, LUNAQ_EINVAL, "state: there is no state %lld",
                       (long long)f->state);
    if (f->group && f->state && f->state != LUNAQ_AGGREGATING)
        return lq_fail(m->err, LUNAQ_EINVAL,
                       "group: only with the state aggregating");
    if (f->state && !m->how && !may_cancel(m, (lunaq_state)f->state))
        return lq_fail(m->err, LUNAQ_ESTATE, "cannot %s %s tasks",
                       m->attempt ? "end an attempt of" : "cancel all",
                       lunaq_state_name((lunaq_state)f->state));
    return LUNAQ_OK;
}

static int each_queue(struct many *m, const lunaq_task_filter *filter)
{
    lq_op_queues queues = {0};
    lunaq_error odd = LUNAQ_ERROR_INIT;
    lq_op_init(&queues.op, LQ_OP_QUEUES);
    int rc = check(m, filter);
    if (!rc && m->filter.queue) {
        lq_str one;
        rc = lq_client_name(&one, "queue", m->filter.queue, m->err);
        if (!rc)
            rc = do_queue(m, one, &odd);
    } else if (!rc) {
        rc = lq_client_call(m->client, &queues.op, m->err);
        for (size_t i = 0; !rc && i < queues.count; i++)
            rc = do_queue(m, queues.names[i], &odd);
    }
    if (!rc && odd.code)
        rc = lq_fail(m->err, odd.code, "%s", odd.message);
    lq_op_release(&queues.op);
    return rc;
}

int lunaq_task_move_many(lunaq_client *client, const lunaq_task_filter *filter,
                         lunaq_move how, int64_t *moved, lunaq_error *err)
{
    lunaq_error own = LUNAQ_ERROR_INIT;
    struct many m = {.client = client, .how = how, .err = err ? err : &own};
    if (moved)
        *moved = 0;
    if (!lq_move_name(how))
        return lq_fail(err, LUNAQ_EINVAL, "move: there is no move %d",
                       (int)how);
    int rc = each_queue(&m, filter);
    if (moved)
        *moved = m.sum;
    return rc;
}

int lunaq_task_move_all(lunaq_client *client, const char *queue,
                        lunaq_state state, lunaq_move how, int64_t *moved,
                        lunaq_error *err)
{
    lunaq_task_filter filter = LUNAQ_TASK_FILTER_INIT;
    lq_str name;
    if (moved)
        *moved = 0;
    int rc = lq_client_name(&name, "queue", queue, err);
    if (rc)
        return rc;
    if (!state)
        return lq_fail(err, LUNAQ_ESTATE, "cannot %s all unknown tasks",
                       lq_move_name(how) ? lq_move_name(how) : "move");
    filter.queue = queue;
    filter.state = state;
    return lunaq_task_move_many(client, &filter, how, moved, err);
}

int lunaq_task_cancel_many(lunaq_client *client,
                           const lunaq_task_filter *filter, const char *reason,
                           int64_t *canceled, lunaq_error *err)
{
    lunaq_error own = LUNAQ_ERROR_INIT;
    struct many m = {
        .client = client, .reason = reason, .err = err ? err : &own};
    if (canceled)
        *canceled = 0;
    int rc = each_queue(&m, filter);
    if (canceled)
        *canceled = m.sum;
    return rc;
}

int lunaq_task_end_attempts(lunaq_client *client,
                            const lunaq_task_filter *filter, int64_t *told,
                            lunaq_error *err)
{
    lunaq_error own = LUNAQ_ERROR_INIT;
    struct many m = {
        .client = client, .attempt = true, .err = err ? err : &own};
    if (told)
        *told = 0;
    int rc = each_queue(&m, filter);
    if (told)
        *told = m.sum;
    return rc;
}
