/* One task from taken to settled. */
#include "runtime/slot.h"

#include "base/clock.h"
#include "runtime/archived.h"
#include "runtime/parked.h"
#include "runtime/control.h"
#include "runtime/settle.h"
#include "runtime/worker.h"
#include "runtime/worker_caps.h"
#include "task/duration.h"

#include <stdio.h>

#define BYTES_KEEP 16384 /* a larger buffer is not kept between tasks */
#define SUSPECT_CRASHES 2

static void run_ended(lq_run *run, const lq_verdict *verdict);

static void deadline_over(void *ud)
{
    lq_slot_cancel(ud, LQ_CANCEL_DEADLINE, (lq_str){0});
}

void lq_slot_init(lq_slot *s, struct lq_worker *w)
{
    s->worker = w;
    s->run.kind = LQ_RUN_TASK;
    s->run.end = run_ended;
    lq_list_init(&s->node);
    lq_list_init(&s->age);
    lq_list_init(&s->held.node);
    lq_buf_init(&s->msg, 0); /* what could be taken can be written */
    lq_buf_init(&s->result, LQ_PAYLOAD_MAX);
    lq_buf_init(&s->reason, 1024);
}

void lq_slot_release(lq_slot *s)
{
    s->state = LQ_SLOT_FREE; /* for a run that ends after its worker */
    lq_task_release(&s->run.task);
    lq_timer_close(s->deadline);
    lq_free(s->bytes);
    lq_buf_release(&s->msg);
    lq_buf_release(&s->result);
    lq_buf_release(&s->reason);
}

/* Keeps a copy of what the step's reply holds. */
static bool keep_bytes(lq_slot *s, const lq_taken *taken, lq_str *id,
                       lq_str *msg)
{
    size_t need = taken->id.len + taken->msg.len + 1;
    if (need > s->bytes_cap) {
        char *p = lq_realloc(s->bytes, need);
        if (!p)
            return false;
        s->bytes = p;
        s->bytes_cap = need;
    }
    memcpy(s->bytes, taken->id.p, taken->id.len);
    if (taken->msg.len)
        memcpy(s->bytes + taken->id.len, taken->msg.p, taken->msg.len);
    *id = lq_str_n(s->bytes, taken->id.len);
    *msg = lq_str_n(s->bytes + taken->id.len, taken->msg.len);
    s->msg_len = taken->msg.len;
    return true;
}

/* A duration as text of its own. */
static lq_field duration_field(const char *key, double ms, char *text,
                               size_t size)
{
    lq_buf b;
    lq_buf_init(&b, size);
    lq_duration_text(&b, ms);
    snprintf(text, size, "%s", b.p ? b.p : "");
    lq_buf_release(&b);
    return lq_fc(key, text);
}

/* A line per outcome; one that went wrong says why, which attempt it was, when
 * the next one comes, and where to read on. */
static void log_outcome(lq_slot *s)
{
    lq_log *log = s->worker->rt->o.log;
    enum lq_outcome_kind kind = s->outcome.kind;
    bool wrong = kind == LQ_RETRY_AT || kind == LQ_ARCHIVE;
    bool none = kind == LQ_RETRY_AT && !s->outcome.is_failure;
    lunaq_log_level level = wrong && !none ? LUNAQ_LOG_WARN : LUNAQ_LOG_INFO;
    if (!lq_log_on(log, level))
        return;

    lq_field f[8];
    size_t n = 0;
    char took[32], next[32], see[LUNAQ_NAME_MAX + 32];
    double ms = (double)(lq_mono_ns() - s->started_ns) / 1e6;
    lq_task shown = {0};

    f[n++] = lq_fs("type", s->run.task.type);
    f[n++] = lq_fs("task_id", s->run.task.id);
    if (wrong && !lq_task_decode(&shown, s->outcome.msg, NULL))
        f[n++] = lq_fs("error", shown.error_msg);
    if (wrong) {
        f[n++] = lq_fi("attempt", s->run.task.retried + 1);
        f[n++] = lq_fi("attempts", s->run.max_retry + 1);
    }
    if (kind == LQ_RETRY_AT || kind == LQ_SNOOZE)
        f[n++] = duration_field("next_in", (double)s->outcome.delay_ms, next,
                                sizeof(next));
    f[n++] = duration_field("took", ms, took, sizeof(took));
    if (wrong) {
        snprintf(see, sizeof(see), "lunaq task show %.*s",
                 LQ_STR_ARG(s->run.task.id));
        f[n++] = lq_fc("see", see);
    }
    lq_log_write(
        log, level,
        none ? LQ_STR("not a failure") : lq_str_c(lq_outcome_name(kind)), f, n);
    lq_task_release(&shown);
}

/* Hands the outcome to the worker.  The order of age decides from which end of
 * the active list the broker looks for it: the oldest sit at its tail. */
static void ready(lq_slot *s)
{
    lq_worker *w = s->worker;
    lq_list *ages = &w->queues[s->queue].age;
    uint64_t oldest = LQ_OF(ages->next, lq_slot, age)->seq;
    uint64_t newest = LQ_OF(ages->prev, lq_slot, age)->seq;

    s->outcome.id = s->run.task.id;
    s->outcome.token = s->run.token;
    s->outcome.score = NULL;
    s->outcome.canceled = (lq_str){0};
    s->outcome.from_tail = s->seq - oldest <= newest - s->seq;
    s->state = LQ_SLOT_READY;
    if (s->deadline)
        lq_timer_stop(s->deadline);
    lq_worker_ready(w, s);
}

/* Its handler has returned: the next task of it may run. */
static void leave_cap(lq_slot *s, bool ran)
{
    if (!s->cap)
        return;
    if (ran)
        lq_handler_cap_ran(s->cap, (lq_mono_ns() - s->started_ns) / 1000);
    if (lq_cap_give(&s->cap->cap, 1)) /* others have parked such tasks */
        lq_control_kick_others(s->worker->rt, s->worker->index, 0);
    s->cap = NULL;
}

static void end_suspect(lq_slot *s)
{
    if (s->suspect)
        atomic_fetch_sub(&s->worker->rt->suspects, 1);
    s->suspect = false;
}

static void run_ended(lq_run *run, const lq_verdict *verdict)
{
    lq_slot *s = (lq_slot *)run;
    lq_verdict v = *verdict;

    if (s->state != LQ_SLOT_RUNNING)
        return; /* a runner's mistake must not settle a task twice */
    end_suspect(s);
    leave_cap(s, true);
    snprintf(s->error_kind, sizeof(s->error_kind), "%s",
             v.error_kind ? v.error_kind : "error");
    lq_buf_clear(&s->result);
    if (v.result.p) {
        lq_buf_add_str(&s->result, v.result);
        v.result = s->result.failed ? (lq_str){0} : lq_buf_str(&s->result);
    }
    lq_settle_in in = {
        .task = &run->task,
        .max_retry = s->run.max_retry,
        .verdict = &v,
        .cancel = s->cancel,
        .cancel_reason = lq_buf_str(&s->reason),
        .now_ms = lq_now_ms(),
        .random = lq_random(UINT64_MAX),
    };
    if (!lq_settle(&s->outcome, &s->msg, &in)) {
        LQ_LOG(s->worker->rt->o.log, WARN,
               "lease lost: another server may run it, outcome not written",
               lq_fs("type", run->task.type), lq_fs("task_id", run->task.id));
        lq_slot_settled(s);
        return;
    }
    log_outcome(s);
    ready(s);
}

/* Ends an attempt that never reached a handler. */
static void refuse(lq_slot *s, enum lq_verdict_kind kind, const char *error,
                   const char *message)
{
    lq_verdict v = {.kind = kind,
                    .message = lq_str_c(message),
                    .error_kind = error,
                    .delay_ms = -1};
    run_ended(&s->run, &v);
}

/* A message that says what Asynq's client writes when nothing was asked for:
 * then the handler file's values count (design, "The message decides"). */
static void apply_type_options(lq_slot *s, lq_type_options *type)
{
    const lq_runtime_options *o = &s->worker->rt->o;
    lq_task *t = &s->run.task;

    s->run.max_retry = t->max_retry;
    s->run.deadline_ms = lq_attempt_deadline_ms(t, s->run.started_ms);
    bool no_timeout = t->timeout_s == LQ_TIMEOUT_DEFAULT_S && !t->deadline_s;
    bool no_retry = t->max_retry == LQ_MAX_RETRY_DEFAULT;
    if (!o->source.type || !o->source.type(o->source.ud, t->type, type) ||
        o->trust_message)
        return;
    if (no_retry && type->max_retry >= 0)
        s->run.max_retry = type->max_retry;
    if (no_timeout && type->timeout_ms >= 0)
        s->run.deadline_ms =
            type->timeout_ms ? s->run.started_ms + type->timeout_ms : 0;
}

static lq_runner *runner_for(lq_worker *w, lq_str type)
{
    for (size_t i = 0; i < w->rt->o.runner_count; i++) {
        lq_runner *r = w->runners[i];
        if (!r->ops->handles || r->ops->handles(r, type))
            return r;
    }
    for (size_t i = 0; i < w->rt->o.runner_count; i++) {
        lq_runner *r = w->runners[i];
        if (r->ops->wraps_unknown && r->ops->wraps_unknown(r))
            return r;
    }
    return NULL;
}

/* A process runs one suspect at a time, so that at most one task per death of
 * the process comes nearer to its crash limit. */
static bool admit(lq_slot *s, int32_t crashes)
{
    lq_runtime *rt = s->worker->rt;
    if (crashes < SUSPECT_CRASHES || rt->o.crash_limit <= 0)
        return true;
    int none = 0;
    if (atomic_compare_exchange_strong(&rt->suspects, &none, 1)) {
        s->suspect = true;
        return true;
    }
    leave_cap(s, false);
    s->outcome = (lq_outcome){.kind = LQ_SNOOZE,
                              .delay_ms = 1000 + (int64_t)lq_random(4001),
                              .keep_crashes = true};
    ready(s);
    return false;
}

/* A task over its handler's cap is parked, or comes back when its turn should
 * be. */
static bool enter_cap(lq_slot *s, const lq_type_options *type)
{
    lq_worker *w = s->worker;
    lq_runtime *rt = w->rt;
    if (type->concurrency == 0)
        return true;
    lq_handler_cap *h = lq_caps_of(&rt->handler_caps, lq_str_c(type->handler));
    if (h && lq_cap_take(&h->cap, type->concurrency, 1)) {
        s->cap = h;
        return true;
    }
    /* A suspect is not kept in hand for nothing. */
    if (h && s->crashes < SUSPECT_CRASHES &&
        lq_parked_add(w, s, h, type->concurrency))
        return false;
    s->outcome = (lq_outcome){
        .kind = LQ_SNOOZE,
        .delay_ms = h ? lq_handler_cap_delay(h, type->concurrency,
                                             s->run.started_ms, lq_random)
                      : 1000,
        .keep_crashes = true};
    ready(s);
    return false;
}

static void begin_run(lq_slot *s)
{
    lq_worker *w = s->worker;
    lq_run *run = &s->run;

    if (run->deadline_ms && run->deadline_ms <= run->started_ms) {
        refuse(s, LQ_SKIPPED, "timeout",
               "timeout: its deadline passed before the attempt began");
        return;
    }
    s->runner = runner_for(w, run->task.type);
    if (!s->runner) {
        char text[LUNAQ_NAME_MAX + 80];
        snprintf(text, sizeof(text), "handler not found for task \"%.*s\"",
                 LQ_STR_ARG(run->task.type));
        refuse(s, LQ_FAILED, "not_found", text);
        return;
    }
    if (run->deadline_ms) {
        if (!s->deadline)
            lq_timer_new(&s->deadline, w->loop, deadline_over, s, NULL);
        if (s->deadline)
            lq_timer_start(s->deadline, run->deadline_ms - run->started_ms);
    }
    LQ_LOG(w->rt->o.log, INFO, "start", lq_fs("type", run->task.type),
           lq_fs("task_id", run->task.id),
           lq_fi("attempt", run->task.retried + 1),
           lq_fi("attempts", s->run.max_retry + 1));
    s->runner->ops->start(s->runner, run);
}

static void no_memory(lq_slot *s)
{
    /* Nothing can be said about the task: its lease ends and it runs again. */
    LQ_LOG(s->worker->rt->o.log, ERROR,
           "out of memory: a task taken was not run; it runs again when its "
           "lease ends");
    s->state = LQ_SLOT_FREE;
    lq_worker_freed(s->worker, s);
}

void lq_slot_run(lq_slot *s, const lq_taken *taken, size_t queue,
                 uint32_t token)
{
    lq_worker *w = s->worker;
    lq_str id, msg;
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_type_options type = {.timeout_ms = -1, .max_retry = -1};

    if (!keep_bytes(s, taken, &id, &msg)) {
        no_memory(s);
        return;
    }
    int rc = lq_task_decode(&s->run.task, msg, &why);
    s->run.task.id = id; /* the lists are right where the message is not */
    s->run.task.queue = lq_queue_name(w->rt, queue);
    s->run.token = token;
    s->run.number = atomic_fetch_add(&w->rt->run_numbers, 1) + 1;
    s->run.started_ms = lq_now_ms();
    s->run.runner_data = NULL;
    s->started_ns = lq_mono_ns();
    s->queue = queue;
    s->seq = s->run.number;
    s->crashes = taken->crashes;
    s->cancel = LQ_CANCEL_NONE;
    s->cap = NULL;
    s->runner = NULL;
    lq_buf_clear(&s->reason);
    s->state = LQ_SLOT_RUNNING;
    lq_worker_caps_enter(w, s);
    lq_list_append(&w->queues[queue].age, &s->age);
    if (rc) {
        s->run.max_retry = 0;
        snprintf(s->error_kind, sizeof(s->error_kind), "undecodable");
        lq_settle_undecodable(&s->outcome, &s->msg, id, s->run.task.queue, msg,
                              why.message, s->run.started_ms);
        log_outcome(s);
        ready(s);
        return;
    }
    apply_type_options(s, &type);
    s->held.id = s->run.task.id;
    s->held.type = s->run.task.type;
    s->held.payload = s->run.task.payload;
    s->held.queue = queue;
    s->held.token = token;
    s->held.number = s->run.number;
    s->held.started_ms = s->run.started_ms;
    s->held.deadline_ms = s->run.deadline_ms;
    s->held.hidden = false;
    lq_held_add(&w->held, &s->held);
    if (!w->taking) { /* it arrived after "quiet": back, first in line */
        s->outcome = (lq_outcome){.kind = LQ_REQUEUE, .keep_crashes = true};
        ready(s);
        return;
    }
    if (enter_cap(s, &type) && admit(s, taken->crashes))
        begin_run(s);
}

void lq_slot_start_parked(lq_slot *s)
{
    lq_worker *w = s->worker;
    lq_type_options type = {.timeout_ms = -1, .max_retry = -1};

    s->run.started_ms = lq_now_ms();
    s->started_ns = lq_mono_ns();
    apply_type_options(s, &type);
    lq_held_remove(&w->held, &s->held);
    s->held.started_ms = s->run.started_ms;
    s->held.deadline_ms = s->run.deadline_ms;
    s->held.hidden = false;
    lq_held_add(&w->held, &s->held);
    if (admit(s, s->crashes))
        begin_run(s);
}

void lq_slot_cancel(lq_slot *s, enum lq_cancel why, lq_str reason)
{
    if (s->state == LQ_SLOT_PARKED)
        lq_parked_end(s->worker, s, why, reason);
    if (s->state != LQ_SLOT_RUNNING || !s->runner)
        return;
    /* A lost lease outweighs every other reason: nothing may be written. */
    if (s->cancel == LQ_CANCEL_NONE || why == LQ_CANCEL_LEASE) {
        s->cancel = why;
        lq_buf_clear(&s->reason);
        lq_buf_add_str(&s->reason, reason);
    }
    s->runner->ops->cancel(s->runner, &s->run, why);
}

/* Also when somebody's wish to cancel made the broker archive it. */
static void tell_archived(lq_slot *s)
{
    const lq_outcome *o = &s->outcome;
    const lq_task *t = &s->run.task;
    if (s->state != LQ_SLOT_SENT || o->code)
        return;
    if (o->canceled.p)
        lq_archived_here(s->worker, t->type, t->queue, t->id,
                         lq_str_n(s->bytes + t->id.len, s->msg_len),
                         o->canceled, "canceled");
    else if (o->kind == LQ_ARCHIVE && o->msg.p)
        lq_archived_here(s->worker, t->type, t->queue, t->id, o->msg,
                         (lq_str){0}, s->error_kind);
}

void lq_slot_settled(lq_slot *s)
{
    lq_worker *w = s->worker;

    tell_archived(s);
    lq_held_remove(&w->held, &s->held);
    lq_worker_caps_leave(w, s);
    lq_list_remove(&s->age);
    lq_task_release(&s->run.task);
    if (s->deadline)
        lq_timer_stop(s->deadline);
    if (s->bytes_cap > BYTES_KEEP) {
        lq_free(s->bytes);
        s->bytes = NULL;
        s->bytes_cap = 0;
    }
    if (s->msg.cap > BYTES_KEEP)
        lq_buf_release(&s->msg);
    if (s->result.cap > BYTES_KEEP)
        lq_buf_release(&s->result);
    s->state = LQ_SLOT_FREE;
    lq_worker_freed(w, s);
}
