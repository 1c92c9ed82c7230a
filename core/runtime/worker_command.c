/* What other threads tell a worker: begin, quiet, end, close; that there may be
 * work; that a run is canceled. */
#include "runtime/worker_command.h"

#include "runtime/control.h"
#include "runtime/parked.h"
#include "runtime/tokens.h"
#include "runtime/worker.h"
#include "runtime/worker_slots.h"

enum command {
    COMMAND_BEGIN = 1,
    COMMAND_QUIET = 2,
    COMMAND_END_RUNS = 4,
    COMMAND_CLOSE = 8
};

/* ---- the link ------------------------------------------------------------ */

static void link_up(void *ud)
{
    lq_worker *w = ud;
    w->connected = true;
    lq_tokens_begin(w);
}

static void link_down(void *ud, const lunaq_error *why)
{
    lq_worker *w = ud;
    w->connected = false;
    lq_timer_stop(w->retry_timer); /* or it would draw a second token */
    lq_tokens_lost(w);
    lq_control_link_down(w->rt, why);
}

/* ---- commands ------------------------------------------------------------ */

void lq_worker_closed_one(void *ud)
{
    lq_worker *w = ud;
    if (--w->closing == 0)
        lq_loop_stop(w->loop);
}

static void link_closed(void *ud)
{
    lq_worker *w = ud;
    w->link = NULL;
    lq_worker_closed_one(w);
}

static void do_begin(lq_worker *w)
{
    static const lq_link_events events = {link_up, link_down};
    lunaq_error err = LUNAQ_ERROR_INIT;

    w->taking = true;
    if (w->rt->o.link_open(&w->link, w->loop, w->rt->o.broker, &events, w,
                           &err))
        LQ_LOG(w->rt->o.log, ERROR, "cannot open a connection",
               lq_fc("reason", err.message));
}

static void do_quiet(lq_worker *w)
{
    w->taking = false;
    lq_parked_end_all(w);
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        lq_waiter_quiet(&w->queues[i].waiter);
}

static void do_end_runs(lq_worker *w)
{
    for (size_t i = 0; i < lq_worker_slots_count(w); i++)
        lq_slot_cancel(lq_worker_slot(w, i), LQ_CANCEL_SHUTDOWN, (lq_str){0});
    lq_internal_end_all(&w->internal);
}

static void do_close(lq_worker *w)
{
    w->closing = 1 + (int)w->rt->o.queue_count;
    /* What is closed carries no further step. */
    w->connected = w->link_up = false;
    lq_internal_end_all(&w->internal);
    w->unsure = lq_tokens_unsure(w) || (w->stepping && w->step.free > 0);
    lq_timer_stop(w->retry_timer);
    lq_timer_stop(w->poll_timer);
    lq_timer_stop(w->rest_timer);
    lq_timer_stop(w->reconcile_timer);
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        lq_waiter_close(&w->queues[i].waiter);
    if (w->link)
        w->link->ops->close(w->link, link_closed, w);
    else
        lq_worker_closed_one(w);
}

void lq_worker_commanded(lq_post *post)
{
    lq_worker *w = LQ_OF(post, lq_worker, command_post);
    int command = atomic_exchange(&w->command, 0);

    if (command & COMMAND_BEGIN)
        do_begin(w);
    if (command & COMMAND_QUIET)
        do_quiet(w);
    if (command & COMMAND_END_RUNS)
        do_end_runs(w);
    lq_turn_arm(w->turn);
    if (command & COMMAND_CLOSE)
        do_close(w);
}

static void tell(lq_worker *w, int command)
{
    if (atomic_fetch_or(&w->command, command) == 0)
        lq_loop_post(w->loop, &w->command_post);
}

void lq_worker_kicked(lq_post *post)
{
    lq_worker *w = LQ_OF(post, lq_worker, kick_post);
    atomic_store(&w->kick_posted, false);
    uint64_t queues = atomic_exchange(&w->kicked, 0);

    if (w->free_count == 0 && lq_list_empty(&w->parked))
        return;
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        if (queues >> i & 1)
            w->queues[i].drained = false;
    lq_turn_arm(w->turn);
}

void lq_worker_kick(lq_worker *w, uint64_t queues)
{
    atomic_fetch_or(&w->kicked, queues);
    if (!atomic_exchange(&w->kick_posted, true))
        lq_loop_post(w->loop, &w->kick_post);
}

struct cancel_post {
    lq_post post;
    lq_worker *worker;
    uint64_t number;
    enum lq_cancel why;
    size_t id_len;
    size_t reason_len;
    char text[]; /* id, reason */
};

static void canceled(lq_post *post)
{
    struct cancel_post *c = LQ_OF(post, struct cancel_post, post);
    lq_worker *w = c->worker;
    lq_str id = lq_str_n(c->text, c->id_len);
    lq_str reason = lq_str_n(c->text + c->id_len, c->reason_len);

    for (size_t i = 0; i < lq_worker_slots_count(w); i++) {
        lq_slot *s = lq_worker_slot(w, i);
        if (s->state != LQ_SLOT_RUNNING && s->state != LQ_SLOT_PARKED)
            continue;
        if (c->number ? s->run.number == c->number
                      : lq_str_eq(s->run.task.id, id))
            lq_slot_cancel(s, c->why, reason);
    }
    lq_free(c);
}

void lq_worker_cancel(lq_worker *w, uint64_t number, lq_str id,
                      enum lq_cancel why, lq_str reason)
{
    struct cancel_post *c = lq_malloc(sizeof(*c) + id.len + reason.len + 1);
    if (!c)
        return; /* the next renewal says it again */
    *c = (struct cancel_post){.post = {.fn = canceled},
                              .worker = w,
                              .number = number,
                              .why = why,
                              .id_len = id.len,
                              .reason_len = reason.len};
    if (id.len)
        memcpy(c->text, id.p, id.len);
    if (reason.len)
        memcpy(c->text + id.len, reason.p, reason.len);
    lq_loop_post(w->loop, &c->post);
}

void lq_worker_begin(lq_worker *w)
{
    tell(w, COMMAND_BEGIN);
}

void lq_worker_quiet(lq_worker *w)
{
    tell(w, COMMAND_QUIET);
}

void lq_worker_end_runs(lq_worker *w)
{
    tell(w, COMMAND_END_RUNS);
}

void lq_worker_close(lq_worker *w)
{
    tell(w, COMMAND_CLOSE);
}
