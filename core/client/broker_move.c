/* Everything of one broker moved to another.
 *
 * Three rounds over the queues, so that a failure at any instant leaves every
 * task in one of the two at least, and the next call goes on: all is copied;
 * all is looked for; only then it is removed where it came from.
 */
#include "client/handle.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"
#include "broker/copy.h"
#include "task/id.h"

#include <assert.h>

#define STATES (LUNAQ_AGGREGATING + 1)
#define PROBE_MS 30000

static_assert(sizeof(lunaq_broker_move_options) ==
                  offsetof(lunaq_broker_move_options, ud) + sizeof(void *),
              "a new field must not hide in padding");

struct transfer {
    lunaq_client *from, *to;
    lunaq_broker_move_options options;
    lunaq_broker_moved moved;
    lunaq_error *err;
};

/* What a walk over a queue found. */
struct walk {
    int64_t states[STATES];
    int64_t tasks, dangling, added;
};

/* ---- before anything is written ------------------------------------------ */

static int publish(lunaq_client *client, lq_str scheduler, const lq_str *entry,
                   lunaq_error *err)
{
    lq_op_cron_publish op = {.scheduler_id = scheduler,
                             .entries = entry,
                             .count = entry ? 1 : 0,
                             .ttl_ms = PROBE_MS};
    lq_op_init(&op.op, LQ_OP_CRON_PUBLISH);
    int rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}

static int sees(lunaq_client *client, lq_str entry, bool *seen,
                lunaq_error *err)
{
    lq_op_crons op = {0};
    lq_op_init(&op.op, LQ_OP_CRONS);
    int rc = lq_client_call(client, &op.op, err);
    *seen = false;
    for (size_t i = 0; !rc && i < op.count; i++)
        *seen = *seen || lq_str_eq(op.entries[i], entry);
    lq_op_release(&op.op);
    return rc;
}

/* One broker has many URLs, and removing what was "copied" to itself would
 * lose everything: a mark left in one must not be seen in the other. */
static int same_broker(struct transfer *t)
{
    char uuid[LQ_UUID_LEN + 1], name[LQ_UUID_LEN + 32] = "lunaq:0:";
    bool seen = false;
    lq_buf bytes;
    lq_uuid4(uuid);
    memcpy(name + strlen(name), uuid, sizeof uuid);
    lq_cron_msg m = {.id = lq_str_c(uuid),
                     .spec = LQ_STR("@every 24h"),
                     .type = LQ_STR("lunaq:move"),
                     .next_ms = lq_now_ms()};
    lq_buf_init(&bytes, 0);
    lq_cron_encode(&bytes, &m);
    lq_str mark = lq_buf_str(&bytes), scheduler = lq_str_c(name);
    int rc = bytes.failed ? lq_fail_nomem(t->err)
                          : publish(t->to, scheduler, &mark, t->err);
    if (!rc) {
        rc = sees(t->from, mark, &seen, t->err);
        int gone = publish(t->to, scheduler, NULL, rc ? NULL : t->err);
        rc = rc ? rc : gone;
    }
    lq_buf_release(&bytes);
    if (!rc && seen)
        rc = lq_fail(t->err, LUNAQ_ESTATE,
                     "move: both are the same broker: nothing to move");
    return rc;
}

static int idle(lunaq_client *client, const char *which, lunaq_error *err)
{
    lunaq_server_list *list = NULL;
    int rc = lunaq_server_list_open(client, &list, err);
    size_t n = lunaq_server_list_count(list);
    if (!rc && n > 0) {
        const lunaq_server_info *s = lunaq_server_list_at(list, 0);
        rc = lq_fail(err, LUNAQ_ESTATE,
                     "move: %zu live server%s on the broker to move %s (%s, "
                     "process %lld): stop %s first",
                     n, n == 1 ? "" : "s", which, s->host, (long long)s->pid,
                     n == 1 ? "it" : "them");
    }
    lunaq_server_list_free(list);
    return rc;
}

static int prepare(struct transfer *t)
{
    int rc = same_broker(t);
    if (!rc && !t->options.force)
        rc = idle(t->from, "from", t->err);
    if (!rc && !t->options.force)
        rc = idle(t->to, "to", t->err);
    return rc;
}

/* ---- a queue's tasks ----------------------------------------------------- */

static int refuse_item(struct transfer *t, lq_str queue, const lq_copy *c)
{
    const char *what = "is not there although it was copied: try again";
    if (c->code == LUNAQ_ESTATE)
        what = "is there already, but another one, or in another state: "
               "delete one of the two";
    else if (c->code == LUNAQ_EREPLY)
        what = "cannot be added: a key has a wrong type";
    return lq_fail(t->err, LUNAQ_ESTATE, "move: task %.*s of queue '%.*s' %s",
                   LQ_STR_ARG(c->id), LQ_STR_ARG(queue), what);
}

/* Sends a batch on, or looks for it. */
static int put(struct transfer *t, lq_op_export *batch, bool check,
               struct walk *w)
{
    if (batch->count == 0)
        return LUNAQ_OK;
    lq_op_import op = {.queue = batch->queue,
                       .items = batch->items,
                       .count = batch->count,
                       .check = check};
    lq_op_init(&op.op, LQ_OP_IMPORT);
    int rc = lq_client_call(t->to, &op.op, t->err);
    for (size_t i = 0; !rc && i < op.count; i++) {
        const lq_copy *c = &op.items[i];
        if (c->code != LUNAQ_EEXIST && (check || c->code != LUNAQ_OK))
            rc = refuse_item(t, batch->queue, c);
        w->added += c->code == LUNAQ_OK;
        if (c->state > 0 && c->state < STATES)
            w->states[c->state]++;
    }
    w->tasks += (int64_t)op.count;
    lq_op_release(&op.op);
    return rc;
}

static int walk(struct transfer *t, const char *queue, bool check,
                struct walk *w)
{
    lq_op_export op = {.queue = lq_str_c(queue)};
    int rc = LUNAQ_OK;
    *w = (struct walk){0};
    do {
        lq_op_init(&op.op, LQ_OP_EXPORT);
        rc = lq_client_call(t->from, &op.op, t->err);
        if (!rc)
            rc = put(t, &op, check, w);
        w->dangling += (int64_t)op.dangling;
        if (!rc && !check && t->options.progress)
            t->options.progress(t->options.ud, queue, w->tasks);
    } while (!rc && strcmp(op.cursor, "0") != 0);
    lq_op_release(&op.op);
    return rc;
}

/* ---- what periodic entries enqueued -------------------------------------- */

static int history(lunaq_client *client, lq_op_cron_history *op, lq_str entry,
                   size_t limit, lunaq_error *err)
{
    *op = (lq_op_cron_history){.entry_id = entry, .limit = limit};
    lq_op_init(&op->op, LQ_OP_CRON_HISTORY);
    return lq_client_call(client, &op->op, err);
}

/* Without a task it deletes the history. */
static int record(lunaq_client *client, lq_str entry, const lq_cron_event *e,
                  lunaq_error *err)
{
    lq_op_cron_record op = {.entry_id = entry};
    if (e) {
        op.task_id = e->task_id;
        op.at_ms = e->at_ms;
    }
    lq_op_init(&op.op, LQ_OP_CRON_RECORD);
    int rc = lq_client_call(client, &op.op, err);
    lq_op_release(&op.op);
    return rc;
}

/* The oldest first, and only what is younger than what `to` has: so it can be
 * begun again. */
static int copy_history(struct transfer *t, lq_str entry)
{
    lq_op_cron_history from, to = {0};
    int rc = history(t->from, &from, entry, 0, t->err);
    if (!rc)
        rc = history(t->to, &to, entry, 1, t->err);
    int64_t has_ms = !rc && to.count > 0 ? to.events[0].at_ms : 0;
    for (size_t i = from.count; !rc && i > 0; i--)
        if (from.events[i - 1].at_ms > has_ms)
            rc = record(t->to, entry, &from.events[i - 1], t->err);
    lq_op_release(&from.op);
    lq_op_release(&to.op);
    return rc;
}

/* Before the queue goes, which knows its entries. */
static int clear_history(struct transfer *t, const char *queue)
{
    lq_op_export_queue op = {.queue = lq_str_c(queue), .now_ms = lq_now_ms()};
    lq_op_init(&op.op, LQ_OP_EXPORT_QUEUE);
    int rc = lq_client_call(t->from, &op.op, t->err);
    for (size_t i = 0; !rc && i < op.copy.cron_count; i++)
        rc = record(t->from, op.copy.crons[i].entry, NULL, t->err);
    lq_op_release(&op.op);
    return rc;
}

/* ---- a queue ------------------------------------------------------------- */

static int copy_rest(struct transfer *t, const char *queue)
{
    int64_t now_ms = lq_now_ms();
    lq_op_export_queue out = {.queue = lq_str_c(queue), .now_ms = now_ms};
    lq_op_init(&out.op, LQ_OP_EXPORT_QUEUE);
    int rc = lq_client_call(t->from, &out.op, t->err);
    if (!rc) {
        lq_op_import_queue in = {
            .queue = out.queue, .now_ms = now_ms, .copy = out.copy};
        lq_op_init(&in.op, LQ_OP_IMPORT_QUEUE);
        rc = lq_client_call(t->to, &in.op, t->err);
        lq_op_release(&in.op);
    }
    for (size_t i = 0; !rc && i < out.copy.cron_count; i++)
        rc = copy_history(t, out.copy.crons[i].entry);
    lq_op_release(&out.op);
    return rc;
}

static int stats(lunaq_client *client, const char *queue, int64_t *states,
                 lunaq_error *err)
{
    lq_op_queue_stats op = {.queue = lq_str_c(queue), .now_ms = lq_now_ms()};
    lq_op_init(&op.op, LQ_OP_QUEUE_STATS);
    int rc = lq_client_call(client, &op.op, err);
    states[LUNAQ_ACTIVE] = op.info.active;
    states[LUNAQ_PENDING] = op.info.pending;
    states[LUNAQ_SCHEDULED] = op.info.scheduled;
    states[LUNAQ_RETRY] = op.info.retry;
    states[LUNAQ_ARCHIVED] = op.info.archived;
    states[LUNAQ_COMPLETED] = op.info.completed;
    lq_op_release(&op.op);
    return rc;
}

/* Every task was just seen in `to`; the numbers tell whether `from` has more
 * by now.  (Tasks of groups are left out: of many groups a broker estimates
 * them.) */
static int verify(struct transfer *t, const char *queue)
{
    struct walk w;
    int64_t from[STATES] = {0}, to[STATES] = {0};
    int rc = walk(t, queue, true, &w);
    if (!rc)
        rc = stats(t->from, queue, from, t->err);
    if (!rc)
        rc = stats(t->to, queue, to, t->err);
    for (int s = LUNAQ_ACTIVE; !rc && s < LUNAQ_AGGREGATING; s++) {
        if (from[s] > w.states[s] + w.dangling)
            rc = lq_fail(t->err, LUNAQ_ESTATE,
                         "move: queue '%s' changed meanwhile: stop what "
                         "enqueues to it and try again",
                         queue);
        else if (to[s] < w.states[s])
            rc = lq_fail(t->err, LUNAQ_ESTATE,
                         "move: queue '%s' has %lld %s tasks where %lld were "
                         "copied: something works on it; try again",
                         queue, (long long)to[s],
                         lunaq_state_name((lunaq_state)s),
                         (long long)w.states[s]);
    }
    return rc;
}

static int clear(struct transfer *t, const char *queue)
{
    lq_op_queue_remove op = {
        .queue = lq_str_c(queue), .force = true, .active = true};
    int rc = clear_history(t, queue);
    if (rc)
        return rc;
    do {
        lq_op_init(&op.op, LQ_OP_QUEUE_REMOVE);
        rc = lq_client_call(t->from, &op.op, t->err);
    } while (!rc && op.more);
    lq_op_release(&op.op);
    return rc;
}

/* A key that cannot be read is a queue's: which one is what has to be known. */
static int of_queue(struct transfer *t, const char *queue, int rc)
{
    if (rc == LUNAQ_EREPLY)
        lq_error_prefix(t->err, "move: queue '%s'", queue);
    return rc;
}

static int move_queues(struct transfer *t, const lq_op_queues *queues)
{
    int rc = LUNAQ_OK;
    for (size_t i = 0; !rc && i < queues->count; i++) {
        struct walk w = {0};
        rc = copy_rest(t, queues->names[i].p);
        if (!rc)
            rc = walk(t, queues->names[i].p, false, &w);
        rc = of_queue(t, queues->names[i].p, rc);
        t->moved.queues++;
        t->moved.tasks += w.tasks;
        t->moved.added += w.added;
    }
    for (size_t i = 0; !rc && i < queues->count; i++)
        rc = verify(t, queues->names[i].p);
    for (size_t i = 0; !rc && !t->options.keep && i < queues->count; i++)
        rc = clear(t, queues->names[i].p);
    return rc;
}

int lunaq_broker_move(lunaq_client *from, lunaq_client *to,
                      const lunaq_broker_move_options *options,
                      lunaq_broker_moved *moved, lunaq_error *err)
{
    struct transfer t = {.from = from,
                         .to = to,
                         .options = LUNAQ_BROKER_MOVE_OPTIONS_INIT,
                         .err = err};
    lq_op_queues queues = {0};
    int rc = LUNAQ_OK;
    lq_op_init(&queues.op, LQ_OP_QUEUES);
    if (options)
        rc = lq_sized_copy(&t.options, sizeof t.options, options,
                           "lunaq_broker_move_options", err);
    if (!rc)
        rc = lq_client_call(from, &queues.op, err);
    if (!rc && queues.count == 0)
        rc = lq_fail(err, LUNAQ_ENOTFOUND,
                     "move: the broker to move from has no queue");
    if (!rc)
        rc = prepare(&t);
    if (!rc)
        rc = move_queues(&t, &queues);
    if (moved && moved->size >= sizeof *moved) {
        t.moved.size = moved->size;
        *moved = t.moved;
    }
    lq_op_release(&queues.op);
    return rc;
}
