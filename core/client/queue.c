/* Queues: listed, paused, removed, looked back at. */
#include "client/handle.h"
#include "client/list.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <assert.h>

#define REMOVE_ROUNDS 10 /* of deleting what producers add meanwhile */

static_assert(sizeof(lunaq_queue_info) ==
                  offsetof(lunaq_queue_info, error) + sizeof(char *),
              "a new field must not hide in padding");

struct lunaq_queue_list {
    LQ_LIST(lunaq_queue_info);
};

LQ_LIST_FUNCTIONS(lunaq_queue_list, lunaq_queue_info)

static int append(lunaq_queue_list *list, lunaq_queue_info info, lq_str queue,
                  lunaq_error *err)
{
    info.size = sizeof info;
    info.name = lq_arena_dup(&list->mem, queue);
    if (!info.name)
        return lq_fail_nomem(err);
    list->items[list->count++] = info;
    return LUNAQ_OK;
}

/* The others shall not suffer from one that cannot be read. */
static int append_odd(lunaq_queue_list *list, lq_str queue, lunaq_error *err)
{
    lunaq_queue_info info = {
        .error = lq_arena_dup(&list->mem, lq_str_c(err->message))};
    return info.error ? append(list, info, queue, err) : lq_fail_nomem(err);
}

static int add(lunaq_client *client, lunaq_queue_list *list, lq_str queue,
               lunaq_error *err)
{
    lq_op_queue_stats op = {
        .queue = queue, .now_ms = lq_now_ms(), .memory = true};
    lq_op_init(&op.op, LQ_OP_QUEUE_STATS);
    int rc = lq_client_call(client, &op.op, err);
    if (!rc)
        rc = append(list, op.info, queue, err);
    lq_op_release(&op.op);
    return rc;
}

/* "no queue 'emial' (known: default, email)" */
static int unknown(lunaq_error *err, lq_str queue, const lq_op_queues *known)
{
    char names[160] = "";
    for (size_t i = 0; i < known->count; i++)
        lq_str_enumerate(names, sizeof names, known->names[i]);
    return lq_fail(err, LUNAQ_ENOTFOUND, "no queue '%.*s' (known: %s)",
                   LQ_STR_ARG(queue), names[0] ? names : "none");
}

/* The same, when the known ones have to be asked for. */
static int name_known(lunaq_client *client, lq_str queue, lunaq_error *err)
{
    lq_op_queues op = {0};
    int rc = LUNAQ_ENOTFOUND;
    lq_op_init(&op.op, LQ_OP_QUEUES);
    if (!lq_client_call(client, &op.op, NULL)) /* else err says it without */
        rc = unknown(err, queue, &op);
    lq_op_release(&op.op);
    return rc;
}

static int fill(lunaq_client *client, lunaq_queue_list *list, lq_str queue,
                const lq_op_queues *all, lunaq_error *err)
{
    size_t room = queue.p ? 1 : all->count;
    list->items =
        lq_list_reserve(NULL, &list->room, room + 1, sizeof *list->items);
    if (!list->items)
        return lq_fail_nomem(err);
    if (queue.p) {
        int rc = add(client, list, queue, err);
        return rc == LUNAQ_ENOTFOUND ? unknown(err, queue, all) : rc;
    }
    for (size_t i = 0; i < all->count; i++) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        int rc = add(client, list, all->names[i], &why);
        if (rc == LUNAQ_EREPLY)
            rc = append_odd(list, all->names[i], &why);
        if (rc && rc != LUNAQ_ENOTFOUND && err)
            *err = why;
        if (rc && rc != LUNAQ_ENOTFOUND) /* it was removed meanwhile */
            return rc;
    }
    return LUNAQ_OK;
}

int lunaq_queue_list_open(lunaq_client *client, const char *queue,
                          lunaq_queue_list **out, lunaq_error *err)
{
    *out = NULL;
    lq_str one = {0};
    lq_op_queues op = {0};
    lq_op_init(&op.op, LQ_OP_QUEUES);
    lunaq_queue_list *list = NULL;
    int rc = queue ? lq_client_name(&one, "queue", queue, err) : LUNAQ_OK;
    if (rc)
        goto out;
    rc = lq_client_call(client, &op.op, err);
    if (rc)
        goto out;
    list = lq_calloc(1, sizeof *list);
    rc = list ? fill(client, list, one, &op, err) : lq_fail_nomem(err);
out:
    lq_op_release(&op.op);
    if (rc) {
        lunaq_queue_list_free(list);
        return rc;
    }
    *out = list;
    return LUNAQ_OK;
}

static int pause_or_resume(lunaq_client *client, const char *queue, bool pause,
                           lunaq_error *err)
{
    lq_op_queue_pause op = {.pause = pause};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (rc)
        return rc;
    lq_op_init(&op.op, LQ_OP_QUEUE_PAUSE);
    rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc == LUNAQ_ENOTFOUND ? name_known(client, op.queue, err) : rc;
}

int lunaq_queue_pause(lunaq_client *client, const char *queue, lunaq_error *err)
{
    return pause_or_resume(client, queue, true, err);
}

int lunaq_queue_resume(lunaq_client *client, const char *queue,
                       lunaq_error *err)
{
    return pause_or_resume(client, queue, false, err);
}

int lunaq_queue_remove(lunaq_client *client, const char *queue, int force,
                       lunaq_error *err)
{
    lq_op_queue_remove op = {.force = force != 0};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (rc)
        return rc;
    int rounds = 0;
    bool scanning = false;
    do {
        lq_op_init(&op.op, LQ_OP_QUEUE_REMOVE);
        rc = lq_client_call(client, &op.op, err);
        bool scans = strncmp(op.cursor, "scan", 4) == 0;
        rounds += scans && !scanning;
        scanning = scans;
    } while (!rc && op.more && rounds <= REMOVE_ROUNDS);
    if (!rc && op.more)
        rc = lq_fail(err, LUNAQ_ESTATE,
                     "queue '%s': tasks keep coming: stop its producers first",
                     queue);
    lq_op_release(&op.op);
    if (!rc)
        lq_map_remove(&client->announced, op.queue);
    return rc == LUNAQ_ENOTFOUND ? name_known(client, op.queue, err) : rc;
}

int lunaq_queue_history(lunaq_client *client, const char *queue, size_t days,
                        int64_t *processed, int64_t *failed, lunaq_error *err)
{
    lq_op_queue_history op = {.days = days,
                              .now_ms = lq_now_ms(),
                              .processed = processed,
                              .failed = failed};
    int rc = lq_client_name(&op.queue, "queue", queue, err);
    if (rc)
        return rc;
    if (!processed || !failed)
        return lq_fail(err, LUNAQ_EINVAL, "history: an array is NULL");
    lq_op_init(&op.op, LQ_OP_QUEUE_HISTORY);
    rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc == LUNAQ_ENOTFOUND ? name_known(client, op.queue, err) : rc;
}
