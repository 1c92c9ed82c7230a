/* The functions a C aggregator calls on its group. */
#include "runtime/callback_group.h"

#include "base/clock.h"
#include "base/sized.h"

struct lunaq_group {
    lunaq_run *run;
    const char *name, *queue;
    lunaq_task *tasks;
    size_t count;
    lq_arena mem;
    lq_arena task_mem; /* what follows */
    lunaq_task task;
    bool set;
};

/* ---- copies -------------------------------------------------------------- */

static const char *keep(lq_arena *mem, lq_str s, bool *ok)
{
    const char *p = lq_arena_dup(mem, s);
    *ok = *ok && p;
    return p;
}

static const char *keep_text(lq_arena *mem, const char *s, bool *ok)
{
    return s ? keep(mem, lq_str_c(s), ok) : NULL;
}

static void fill(lunaq_group *g, lunaq_task *to, const lq_task *from, bool *ok)
{
    *to = (lunaq_task)LUNAQ_TASK_INIT;
    to->type = keep(&g->mem, from->type, ok);
    to->queue = g->queue;
    to->group = g->name;
    to->task_id = keep(&g->mem, from->id, ok);
    to->payload = keep(&g->mem, from->payload, ok);
    to->payload_len = from->payload.len;
    lunaq_header *headers =
        lq_arena_alloc(&g->mem, (from->header_count + 1) * sizeof(*headers));
    *ok = *ok && headers;
    for (size_t i = 0; headers && i < from->header_count; i++)
        headers[i] = (lunaq_header){keep(&g->mem, from->headers[i].key, ok),
                                    keep(&g->mem, from->headers[i].value, ok)};
    to->headers = headers;
    to->header_count = from->header_count;
}

lunaq_group *lq_callback_group_new(lunaq_run *r, const lq_aggregate_in *in)
{
    lunaq_group *g = lq_calloc(1, sizeof(*g));
    bool ok = g != NULL;
    if (!g)
        return NULL;
    g->run = r;
    g->name = keep(&g->mem, in->group, &ok);
    g->queue = keep(&g->mem, in->queue, &ok);
    g->tasks = lq_arena_alloc(&g->mem, (in->count + 1) * sizeof(*g->tasks));
    ok = ok && g->tasks;
    for (; ok && g->count < in->count; g->count++)
        fill(g, &g->tasks[g->count], &in->tasks[g->count], &ok);
    if (ok)
        return g;
    lq_callback_group_free(g);
    return NULL;
}

void lq_callback_group_free(lunaq_group *g)
{
    if (!g)
        return;
    lq_arena_release(&g->mem);
    lq_arena_release(&g->task_mem);
    lq_free(g);
}

void lq_callback_group_answer(lunaq_group *g, lq_aggregate_out *out)
{
    if (!g->set)
        return;
    out->mem = g->task_mem; /* which the item points to */
    g->task_mem = (lq_arena){0};
    out->made =
        lq_enqueue_init(&out->item, &g->task, lq_now_ms(), NULL) == LUNAQ_OK;
}

/* ---- the public functions ------------------------------------------------ */

const char *lunaq_group_name(const lunaq_group *group)
{
    return group->name;
}

const char *lunaq_group_queue(const lunaq_group *group)
{
    return group->queue;
}

size_t lunaq_group_count(const lunaq_group *group)
{
    return group->count;
}

const lunaq_task *lunaq_group_task(const lunaq_group *group, size_t i)
{
    return i < group->count ? &group->tasks[i] : NULL;
}

static bool copy_task(lq_arena *mem, lunaq_task *t)
{
    bool ok = true;
    const lunaq_header *from = t->headers;
    t->type = keep_text(mem, t->type, &ok);
    t->task_id = keep_text(mem, t->task_id, &ok);
    t->group = keep_text(mem, t->group, &ok);
    if (t->payload)
        t->payload = keep(mem, lq_str_n(t->payload, t->payload_len), &ok);
    lunaq_header *headers =
        lq_arena_alloc(mem, (t->header_count + 1) * sizeof(*headers));
    for (size_t i = 0; headers && from && i < t->header_count; i++)
        headers[i] = (lunaq_header){keep_text(mem, from[i].name, &ok),
                                    keep_text(mem, from[i].value, &ok)};
    t->headers = from ? headers : NULL;
    return ok && headers;
}

int lunaq_group_set_task(lunaq_group *group, const lunaq_task *task,
                         lunaq_error *err)
{
    lunaq_task copy = {0};
    lq_enqueue checked;
    int rc = task ? lq_sized_copy(&copy, sizeof(copy), task, "lunaq_task", err)
                  : lq_fail(err, LUNAQ_EINVAL, "task: it is NULL");
    if (rc)
        return rc;
    copy.size = sizeof(copy);
    if (copy.queue && strcmp(copy.queue, group->queue) != 0)
        return lq_fail(err, LUNAQ_EINVAL,
                       "queue: the task is of its group's queue, '%s'",
                       group->queue);
    copy.queue = group->queue;
    rc = lq_enqueue_init(&checked, &copy, lq_now_ms(), err);
    if (rc)
        return rc;
    lq_enqueue_release(&checked);
    lq_arena_release(&group->task_mem);
    group->set = false;
    if (!copy_task(&group->task_mem, &copy))
        return lq_fail_nomem(err);
    bool ok = true;
    copy.queue = keep_text(&group->task_mem, group->queue, &ok);
    if (!ok)
        return lq_fail_nomem(err);
    group->task = copy;
    group->set = true;
    return LUNAQ_OK;
}

int lunaq_group_fail(lunaq_group *group, const char *why)
{
    return lunaq_run_fail(group->run, why ? why : "the aggregator failed");
}
