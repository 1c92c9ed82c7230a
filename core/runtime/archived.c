/* The on_archive hook: see archived.h. */
#include "runtime/archived.h"

#include "base/alloc.h"
#include "runtime/control.h"
#include "runtime/worker.h"

#include <stdio.h>

#define TIMEOUT_MS 30000

struct archived {
    lq_internal_run r; /* first */
    lq_log *log;
    lq_archived_in in;
    char error_kind[32];
    char bytes[]; /* queue, id, message, error */
};

static lq_str put(char **at, lq_str s)
{
    char *p = *at;
    if (s.len)
        memcpy(p, s.p, s.len);
    *at += s.len;
    return lq_str_n(p, s.len);
}

static void archived_free(struct archived *a)
{
    lq_task_release(&a->r.run.task);
    lq_free(a);
}

/* Nobody waits for it: what went wrong is for the log. */
static void told(lq_internal_run *r, const lq_verdict *v)
{
    struct archived *a = (struct archived *)r;
    bool none = v->error_kind && strcmp(v->error_kind, "no_hook") == 0;
    lq_str why = v->message.len ? v->message : LQ_STR("the server stops");
    if (v->kind != LQ_SUCCEEDED && !none)
        LQ_LOG(a->log, ERROR, "on_archive failed",
               lq_fs("type", r->run.task.type),
               lq_fs("task_id", r->run.task.id), lq_fs("error", why));
    archived_free(a);
}

static void no_memory(lq_runtime *rt)
{
    if (lq_log_gate(&rt->log_gate, 5000))
        LQ_LOG(rt->o.log, ERROR, "out of memory: on_archive was not called");
}

/* NULL: there is nobody to tell. */
static struct archived *archived_new(lq_runtime *rt, lq_str queue, lq_str id,
                                     lq_str msg, lq_str error, const char *kind)
{
    struct archived *a =
        lq_calloc(1, sizeof *a + queue.len + id.len + msg.len + error.len);
    if (!a) {
        no_memory(rt);
        return NULL;
    }
    lq_task *t = &a->r.run.task;
    char *at = a->bytes;
    queue = put(&at, queue);
    id = put(&at, id);
    msg = put(&at, msg);
    error = error.p ? put(&at, error) : error;
    int rc = lq_task_decode(t, msg, NULL);
    if (rc) { /* else it cannot be read: no handler has it */
        if (rc == LUNAQ_ENOMEM)
            no_memory(rt);
        archived_free(a);
        return NULL;
    }
    t->queue = queue;
    t->id = id;
    snprintf(a->error_kind, sizeof a->error_kind, "%s", kind);
    a->in = (lq_archived_in){error.p ? error : t->error_msg, a->error_kind};
    a->log = rt->o.log;
    a->r.run.kind = LQ_RUN_ARCHIVED;
    a->r.run.in = &a->in;
    a->r.run.max_retry = t->max_retry;
    a->r.timeout_ms = TIMEOUT_MS;
    a->r.done = told;
    return a;
}

/* Most have none, and nothing is copied then. */
static bool has_hook(lq_worker *w, lq_str type)
{
    for (size_t i = 0; i < w->rt->o.runner_count; i++) {
        lq_runner *r = w->runners[i];
        if (r->ops->hooks && r->ops->hooks(r, LQ_RUN_ARCHIVED, type))
            return true;
    }
    return false;
}

void lq_archived_here(lq_worker *w, lq_str type, lq_str queue, lq_str id,
                      lq_str msg, lq_str error, const char *error_kind)
{
    if (!has_hook(w, type))
        return;
    struct archived *a = archived_new(w->rt, queue, id, msg, error, error_kind);
    if (a)
        lq_internal_start(&w->internal, &a->r);
}

void lq_archived_away(lq_control *c, lq_str queue, lq_str id, lq_str msg,
                      lq_str error, const char *error_kind)
{
    struct archived *a = archived_new(c->rt, queue, id, msg, error, error_kind);
    if (a)
        lq_internal_submit(&c->internal, &a->r);
}
