/* Sharing out a set: see aggregation_parts.h. */
#include "runtime/aggregation_parts.h"

#include "base/clock.h"
#include "runtime/aggregator.h"
#include "runtime/batch.h"

/* For handlers beyond those that one move can serve. */
#define PART_NONE ((lq_aggregation_part *)(void *)-1)

static lq_aggregation_part *part_of(lq_aggregation *g, const lq_type_options *o)
{
    for (size_t i = 0; i < g->part_count; i++)
        if (g->parts[i]->owner == o->group_owner)
            return g->parts[i];
    if (g->part_count == LQ_BATCH_MAX)
        return PART_NONE;
    lq_aggregation_part *p = lq_arena_alloc(&g->mem, sizeof(*p));
    if (!p)
        return NULL;
    p->at = lq_arena_alloc(&g->mem, g->take.count * sizeof(*p->at));
    if (!p->at)
        return NULL;
    p->g = g;
    p->owner = o->group_owner;
    p->aggregates = o->aggregates;
    g->parts[g->part_count++] = p;
    return p;
}

bool lq_aggregation_share_out(lq_aggregation *g)
{
    size_t n = g->take.count;
    g->tasks = lq_arena_alloc(&g->mem, n * sizeof(*g->tasks));
    /* NOLINTBEGIN(bugprone-sizeof-expression): of pointers it is */
    g->parts = lq_arena_alloc(&g->mem, n * sizeof(*g->parts));
    g->items = lq_arena_alloc(&g->mem, n * sizeof(*g->items));
    /* NOLINTEND(bugprone-sizeof-expression) */
    g->alone = lq_arena_alloc(&g->mem, n * sizeof(*g->alone));
    g->left = lq_arena_alloc(&g->mem, n * sizeof(*g->left));
    if (!g->tasks || !g->parts || !g->items || !g->alone || !g->left)
        return false;
    for (size_t i = 0; i < n; i++) {
        lq_task *t = &g->tasks[g->task_count++];
        lq_type_options o;
        if (lq_task_decode(t, g->take.msgs[i], NULL) ||
            !lq_aggregator_type(g->a, g->queue, t->type, &o)) {
            g->alone[g->alone_count++] = g->take.ids[i];
            continue;
        }
        lq_aggregation_part *p = part_of(g, &o);
        if (!p)
            return false;
        if (p == PART_NONE)
            g->alone[g->alone_count++] = g->take.ids[i];
        else
            p->at[p->count++] = i;
    }
    return true;
}

void lq_aggregation_leave_alone(lq_aggregation *g, const lq_aggregation_part *p)
{
    for (size_t i = 0; i < p->count; i++)
        g->alone[g->alone_count++] = g->take.ids[p->at[i]];
}

int lq_aggregation_batch(lq_aggregation *g, lq_aggregation_part *p,
                         lunaq_error *err)
{
    const lq_handler_source *source = &g->a->control->rt->o.source;
    lq_enqueue *e = lq_arena_alloc(&g->mem, sizeof(*e));
    if (!e)
        return lq_fail_nomem(err);
    int rc = lq_batch_make(e, lq_queue_name(g->a->control->rt, g->queue),
                           g->group, g->tasks, p->at, p->count, source->is_json,
                           &g->mem, lq_now_ms(), err);
    if (rc == LUNAQ_EFULL) { /* too long for one task: each by itself */
        lq_aggregation_leave_alone(g, p);
        return LUNAQ_OK;
    }
    if (!rc)
        p->item = e;
    return rc;
}

void lq_aggregation_collect(lq_aggregation *g)
{
    g->item_count = g->left_count = 0;
    for (size_t i = 0; i < g->part_count; i++) {
        const lq_aggregation_part *p = g->parts[i];
        if (!p->failed && p->item)
            g->items[g->item_count++] = p->item;
        for (size_t k = 0; p->failed && k < p->count; k++)
            g->left[g->left_count++] = g->take.ids[p->at[k]];
    }
}

bool lq_aggregation_refused(lq_aggregation *g)
{
    bool any = false;
    for (size_t i = 0; i < g->part_count; i++) {
        lq_aggregation_part *p = g->parts[i];
        if (!p->failed && p->item && p->item->code)
            p->failed = any = true;
    }
    return any;
}
