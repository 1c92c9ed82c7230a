/* The doctor: the broker, its queues and its servers, looked at together. */
#include "client/handle.h"

#include "base/error.h"
#include "broker/diagnose.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define LATENCY_WARN_MS 60000
#define ORPHANS_LOOKED_AT 200
#define CURE_ODD "'lunaq fsck' names the key"

static_assert(sizeof(lunaq_finding) ==
                  offsetof(lunaq_finding, cure) + sizeof(const char *),
              "a new field must not hide in padding");

struct doctor {
    lunaq_client *client;
    lunaq_finding_fn *fn;
    void *ud;
    const lunaq_queue_list *queues;
    const lunaq_server_list *servers;
    size_t warnings;
};

__attribute__((format(printf, 5, 6))) static void
tell(struct doctor *d, lunaq_level level, const char *area, const char *cure,
     const char *format, ...)
{
    char text[LUNAQ_NAME_MAX + 512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    lunaq_finding f = {.size = sizeof f,
                       .level = level,
                       .area = area,
                       .text = text,
                       .cure = cure ? cure : ""};
    d->warnings += level != LUNAQ_LEVEL_OK;
    d->fn(d->ud, &f);
}

static int look_broker(struct doctor *d, lunaq_error *err)
{
    lq_finding findings[LQ_FINDINGS_MAX];
    lq_op_diagnose op = {.findings = findings};
    lq_op_init(&op.op, LQ_OP_DIAGNOSE);
    int rc = lq_client_call(d->client, &op.op, err);
    for (size_t i = 0; !rc && i < op.count; i++)
        tell(d, findings[i].level, findings[i].area, findings[i].cure, "%s",
             findings[i].text);
    lq_op_release(&op.op);
    return rc;
}

/* ---- queues -------------------------------------------------------------- */

static bool is_served(const struct doctor *d, const char *queue)
{
    for (size_t i = 0; i < lunaq_server_list_count(d->servers); i++) {
        const lunaq_server_info *s = lunaq_server_list_at(d->servers, i);
        for (size_t k = 0; k < s->queue_count; k++)
            if (strcmp(s->queues[k].queue, queue) == 0 &&
                strcmp(s->status, "active") == 0)
                return true;
    }
    return false;
}

/* How many of the first active tasks have no holder any more. */
static int count_orphans(struct doctor *d, const char *queue, int64_t *count,
                         lunaq_error *err)
{
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    lunaq_task_list *list = NULL;
    q.queue = queue;
    q.state = LUNAQ_ACTIVE;
    q.page_size = ORPHANS_LOOKED_AT;
    *count = 0;
    int rc = lunaq_task_list_open(d->client, &q, &list, err);
    for (size_t i = 0; !rc && i < lunaq_task_list_count(list); i++)
        *count += lunaq_task_list_at(list, i)->orphaned;
    lunaq_task_list_free(list);
    return rc;
}

static int look_queue(struct doctor *d, const lunaq_queue_info *q,
                      lunaq_error *err)
{
    int64_t orphans = 0;
    int64_t waiting = q->pending + q->scheduled + q->retry + q->aggregating;
    bool served = is_served(d, q->name);
    if (q->error) {
        tell(d, LUNAQ_LEVEL_ERROR, "queue", CURE_ODD, "'%s': %s", q->name,
             q->error);
        return LUNAQ_OK;
    }
    if (q->paused_at)
        tell(d, LUNAQ_LEVEL_WARN, "queue",
             "if that is over: 'lunaq queue resume NAME'",
             "'%s' is paused; %lld task%s pending", q->name,
             (long long)q->pending, q->pending == 1 ? " is" : "s are");
    if (!served && waiting + q->active > 0)
        tell(d, LUNAQ_LEVEL_ERROR, "queue",
             "start a lunaqd that has it among its queues",
             "'%s' is served by nobody; %lld task%s", q->name,
             (long long)waiting, waiting == 1 ? " waits" : "s wait");
    else if (served && !q->paused_at && q->latency_ms > LATENCY_WARN_MS)
        tell(d, LUNAQ_LEVEL_WARN, "queue",
             "more servers, more concurrency, or shorter handlers",
             "'%s' is behind: its next task has been pending for %lld s",
             q->name, (long long)(q->latency_ms / 1000));
    int rc = q->active ? count_orphans(d, q->name, &orphans, err) : LUNAQ_OK;
    if (rc == LUNAQ_EREPLY) { /* the other queues are looked at */
        tell(d, LUNAQ_LEVEL_ERROR, "queue", CURE_ODD, "'%s': %s", q->name,
             err->message);
        return LUNAQ_OK;
    }
    if (!rc && orphans > 0)
        tell(d, served ? LUNAQ_LEVEL_WARN : LUNAQ_LEVEL_ERROR, "leases",
             served ? "wait half a minute: its servers recover them; 'lunaq "
                      "fsck' if they stay"
                    : "start a lunaqd that has the queue: it recovers them",
             "'%s' has %lld active task%s whose holder is gone", q->name,
             (long long)orphans, orphans == 1 ? "" : "s");
    return rc;
}

/* ---- servers ------------------------------------------------------------- */

static void look_server(struct doctor *d, const lunaq_server_info *s)
{
    if (strcmp(s->status, "active") != 0)
        tell(d, LUNAQ_LEVEL_WARN, "server",
             "start another when it shall take tasks again",
             "%s, process %lld on %s, takes no tasks: it is %s", s->id,
             (long long)s->pid, s->host, s->status);
}

static int look_handlers(struct doctor *d, lunaq_error *err)
{
    lunaq_handler_list *list = NULL;
    int rc = lunaq_handler_list_open(d->client, &list, err);
    const char *told = "";
    for (size_t i = 0; !rc && i < lunaq_handler_list_count(list); i++) {
        const lunaq_handler_info *h = lunaq_handler_list_at(list, i);
        if (h->rejected[0] && strcmp(told, h->server_id) != 0)
            tell(d, LUNAQ_LEVEL_WARN, "handlers",
                 "mend the file: until then the former one runs",
                 "an edit was rejected: %s", h->rejected);
        told = h->rejected[0] ? h->server_id : told;
    }
    lunaq_handler_list_free(list);
    return rc;
}

static int look_all(struct doctor *d, lunaq_error *err)
{
    size_t queues = lunaq_queue_list_count(d->queues);
    size_t servers = lunaq_server_list_count(d->servers);
    int rc = LUNAQ_OK;
    if (servers == 0)
        tell(d, queues ? LUNAQ_LEVEL_ERROR : LUNAQ_LEVEL_WARN, "server",
             "start lunaqd in the application's folder",
             "no server lives: nothing runs");
    else
        tell(d, LUNAQ_LEVEL_OK, "server", NULL, "%zu live", servers);
    for (size_t i = 0; i < servers; i++)
        look_server(d, lunaq_server_list_at(d->servers, i));
    size_t before = d->warnings;
    for (size_t i = 0; !rc && i < queues; i++)
        rc = look_queue(d, lunaq_queue_list_at(d->queues, i), err);
    if (!rc && d->warnings == before)
        tell(d, LUNAQ_LEVEL_OK, "queue", NULL, "%zu, all served", queues);
    return rc ? rc : look_handlers(d, err);
}

int lunaq_doctor(lunaq_client *client, lunaq_finding_fn *finding, void *ud,
                 lunaq_error *err)
{
    lunaq_queue_list *queues = NULL;
    lunaq_server_list *servers = NULL;
    lunaq_error own = LUNAQ_ERROR_INIT;
    struct doctor d = {.client = client, .fn = finding, .ud = ud};
    err = err ? err : &own;
    if (!finding)
        return lq_fail(err, LUNAQ_EINVAL, "doctor: nobody to tell");
    int rc = look_broker(&d, err);
    if (!rc)
        rc = lunaq_queue_list_open(client, NULL, &queues, err);
    if (!rc)
        rc = lunaq_server_list_open(client, &servers, err);
    d.queues = queues;
    d.servers = servers;
    if (!rc)
        rc = look_all(&d, err);
    if (rc == LUNAQ_EREPLY) { /* it answers, but not that */
        tell(&d, LUNAQ_LEVEL_ERROR, "broker",
             "mend what stands above; 'lunaq fsck' looks at the keys", "%s",
             err->message);
        rc = LUNAQ_OK;
    }
    lunaq_server_list_free(servers);
    lunaq_queue_list_free(queues);
    return rc;
}
