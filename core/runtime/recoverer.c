/* Sweeping the leases that ended. */
#include "runtime/recoverer.h"

#include "base/clock.h"
#include "runtime/archived.h"
#include "runtime/control.h"
#include "runtime/settle.h"
#include "runtime/worker.h"

#define UP_FOR_MS 10000    /* our link, before leases of lunaq are touched */
#define SWEEP_MAX_MS 10000 /* between two sweeps */
#define SWEEP_MIN_MS 200
#define REPAIR_MS 60000

static void sweep(void *ud);
static void list_next(lq_recoverer *r);
static void listed(lq_op *op);
static void settled(lq_op *op);
static void repair_or_end(lq_recoverer *r);
static void repaired(lq_op *op);

static bool link_steady(const lq_recoverer *r)
{
    return r->control->link_up &&
           lq_mono_ms() - r->control->up_since_ms >= UP_FOR_MS;
}

static void sweep(void *ud)
{
    lq_recoverer *r = ud;
    if (!link_steady(r)) {
        lq_periodic_over_in(&r->sweep, 1000);
        return;
    }
    r->queue = 0;
    r->soonest_ms = -1;
    list_next(r);
}

static void list_next(lq_recoverer *r)
{
    lq_runtime *rt = r->control->rt;
    if (r->queue == rt->o.queue_count || !r->control->link_up) {
        repair_or_end(r);
        return;
    }
    r->asked_ms = lq_mono_ms();
    lq_op_init(&r->expired.op, LQ_OP_EXPIRED);
    r->expired.op.done = listed;
    r->expired.op.ud = r;
    r->expired.queue = lq_queue_name(rt, r->queue);
    r->expired.limit = LQ_BATCH_MAX;
    lq_link_submit(r->control->link, &r->expired.op);
}

/* Tokens are this process's while its connection lives; after a reconnect the
 * tasks in hand still have the old one, so ask the lists. */
static bool ours(lq_runtime *rt, const lq_expired *e)
{
    bool found = false;
    for (size_t i = 0; i < rt->o.worker_threads && !found; i++) {
        lq_held_list *l = &rt->workers[i]->held;
        pthread_mutex_lock(&l->mutex);
        LQ_LIST_EACH (&l->all, node) {
            const lq_held *h = LQ_OF(node, lq_held, node);
            if (h->token == e->token && lq_str_eq(h->id, e->id)) {
                found = true;
                break;
            }
        }
        pthread_mutex_unlock(&l->mutex);
    }
    return found;
}

static void decide(lq_recoverer *r, size_t at, const lq_expired *e)
{
    lq_runtime *rt = r->control->rt;
    lq_outcome *o = &r->outcomes[at];
    lq_task task = {0};
    lunaq_error why = LUNAQ_ERROR_INIT;
    int64_t now = lq_now_ms();

    if (lq_task_decode(&task, e->msg, &why)) {
        *o = (lq_outcome){.id = e->id, .score = e->score};
        lq_settle_undecodable(o, &r->msgs[at], e->id, r->expired.queue, e->msg,
                              why.message, now);
    } else {
        lq_settle_expired(o, &r->msgs[at], e, &task, rt->o.crash_limit, now,
                          lq_random(UINT64_MAX));
    }
    lq_task_release(&task);
}

/* Only once the broker has done it: another server may have been faster. */
static void log_recovered(const lq_recoverer *r, size_t at)
{
    const lq_expired *e = &r->expired.items[r->item[at]];
    lq_task task = {0};

    (void)lq_task_decode(&task, e->msg, NULL);
    LQ_LOG(r->control->rt->o.log, WARN, "recovered: its holder vanished",
           lq_fs("type", task.type), lq_fs("task_id", e->id),
           lq_fs("queue", r->expired.queue),
           lq_fi("crashes", e->token ? e->crashes + 1 : e->crashes),
           lq_fc("now", lq_outcome_name(r->outcomes[at].kind)));
    lq_task_release(&task);
}

static void tell_archived(lq_recoverer *r, size_t at)
{
    const lq_expired *e = &r->expired.items[r->item[at]];
    const lq_outcome *o = &r->outcomes[at];
    if (o->canceled.p || (o->kind == LQ_ARCHIVE && o->msg.p))
        lq_archived_away(r->control, r->expired.queue, e->id,
                         o->msg.p ? o->msg : e->msg, o->canceled,
                         o->canceled.p || e->cancel.p ? "canceled"
                         : e->token                   ? "crash"
                                                      : "lease");
}

static void listed(lq_op *op)
{
    lq_recoverer *r = op->ud;
    lq_runtime *rt = r->control->rt;
    size_t n = 0;

    lq_control_replied(r->control, r->asked_ms);
    if (op->rc == LUNAQ_OK && link_steady(r)) {
        int64_t next = r->expired.next_ms;
        if (next >= 0 && (r->soonest_ms < 0 || next < r->soonest_ms))
            r->soonest_ms = next;
        for (size_t i = 0; i < r->expired.count && n < LQ_BATCH_MAX; i++) {
            const lq_expired *e = &r->expired.items[i];
            if (!e->msg.p || ours(rt, e))
                continue; /* no task: repair drops it */
            decide(r, n, e);
            r->outcome_ptrs[n] = &r->outcomes[n];
            r->item[n] = i;
            n++;
        }
    }
    if (n == 0) {
        lq_op_release(op);
        r->queue++;
        list_next(r);
        return;
    }
    r->settle_queue = (lq_step_queue){.name = r->expired.queue,
                                      .outcomes = r->outcome_ptrs,
                                      .outcome_count = n};
    lq_op_init(&r->settle.op, LQ_OP_STEP);
    r->settle.op.done = settled;
    r->settle.op.ud = r;
    r->settle.queues = &r->settle_queue;
    r->settle.queue_count = 1;
    r->settle.free = 0;
    r->settle.lease_ms = rt->o.lease_ms;
    r->settle.now_ms = lq_now_ms();
    lq_link_submit(r->control->link, &r->settle.op);
}

static void settled(lq_op *op)
{
    lq_recoverer *r = op->ud;
    bool full = r->expired.count >= LQ_BATCH_MAX, moved = false;

    for (size_t i = 0; op->rc == LUNAQ_OK && i < r->settle_queue.outcome_count;
         i++) {
        if (r->outcomes[i].code != LUNAQ_OK)
            continue;
        moved = true;
        log_recovered(r, i);
        tell_archived(r, i);
    }
    lq_op_release(op);
    lq_op_release(&r->expired.op); /* the outcomes pointed into it */
    if (!full || !moved)
        r->queue++;
    list_next(r); /* after a full batch that moved: the same queue again */
}

static void end_round(lq_recoverer *r)
{
    int64_t wait = r->soonest_ms >= 0 ? r->soonest_ms + 20 : SWEEP_MAX_MS;
    if (wait > SWEEP_MAX_MS)
        wait = SWEEP_MAX_MS;
    if (wait < SWEEP_MIN_MS)
        wait = SWEEP_MIN_MS;
    lq_periodic_over_in(&r->sweep, wait + (int64_t)lq_random(50));
}

static void repair_or_end(lq_recoverer *r)
{
    lq_runtime *rt = r->control->rt;
    int64_t now = lq_mono_ms();

    if (now < r->repair_at_ms || !r->control->link_up) {
        end_round(r);
        return;
    }
    if (r->queue >= rt->o.queue_count)
        r->queue = 0;
    lq_op_init(&r->repair.op, LQ_OP_REPAIR);
    r->repair.op.done = repaired;
    r->repair.op.ud = r;
    r->repair.queue = lq_queue_name(rt, r->queue);
    lq_link_submit(r->control->link, &r->repair.op);
}

static void repaired(lq_op *op)
{
    lq_recoverer *r = op->ud;
    lq_runtime *rt = r->control->rt;

    if (op->rc == LUNAQ_OK && (r->repair.leased || r->repair.dropped))
        LQ_LOG(rt->o.log, WARN, "repaired active tasks",
               lq_fs("queue", r->repair.queue),
               lq_fi("without_lease", r->repair.leased),
               lq_fi("without_task", r->repair.dropped));
    lq_op_release(op);
    r->queue++;
    if (r->queue < rt->o.queue_count) {
        repair_or_end(r);
        return;
    }
    r->repair_at_ms = lq_mono_ms() + REPAIR_MS;
    end_round(r);
}

int lq_recoverer_start(lq_recoverer *r, struct lq_control *c, lunaq_error *err)
{
    r->control = c;
    for (size_t i = 0; i < LQ_BATCH_MAX; i++)
        lq_buf_init(&r->msgs[i], 0);
    return lq_periodic_start(&r->sweep, c->loop, 1000, SWEEP_MAX_MS, sweep, r,
                             err);
}

void lq_recoverer_stop(lq_recoverer *r)
{
    lq_periodic_stop(&r->sweep);
    for (size_t i = 0; i < LQ_BATCH_MAX; i++)
        lq_buf_release(&r->msgs[i]);
    lq_op_release(&r->expired.op);
    lq_op_release(&r->settle.op);
}
