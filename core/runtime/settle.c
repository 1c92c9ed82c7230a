/* The table of outcomes (handlers-api, "Outcomes") as a function. */
#include "runtime/settle.h"

#include "task/backoff.h"

#include <stdio.h>

/* A century: what a handler says beyond it would leave the range of instants.
 */
#define DELAY_MAX_MS (INT64_C(36500) * 86400000)

static const char *const names[] = {
    [LQ_DONE] = "succeeded",   [LQ_COMPLETE] = "succeeded",
    [LQ_RETRY_AT] = "failed",  [LQ_ARCHIVE] = "archived",
    [LQ_REQUEUE] = "returned", [LQ_SNOOZE] = "snoozed",
    [LQ_CRASHED] = "returned", [LQ_DISCARD] = "discarded",
};

const char *lq_outcome_name(enum lq_outcome_kind kind)
{
    return (size_t)kind < LQ_COUNT(names) && names[kind] ? names[kind]
                                                         : "unknown";
}

/* Without memory for the new message the stored one stays: half of one would
 * be worse than the error text that is missing. */
static void encode(lq_outcome *out, lq_buf *msg, const lq_task *task)
{
    lq_buf_clear(msg);
    lq_task_encode(msg, task);
    out->msg = msg->failed ? (lq_str){0} : lq_buf_str(msg);
}

static void archive(lq_outcome *out, lq_buf *msg, const lq_task *task,
                    lq_str text, int64_t now_ms)
{
    lq_task copy = *task;
    copy.error_msg = lq_str_n(
        text.p, text.len > LQ_ERROR_TEXT_MAX ? LQ_ERROR_TEXT_MAX : text.len);
    copy.last_failed_s = now_ms / 1000;
    out->kind = LQ_ARCHIVE;
    out->is_failure = true;
    encode(out, msg, &copy);
}

/* A failure: again after delay_ms (< 0: Asynq's curve), or the end.  What the
 * handler calls none is counted nowhere; where no attempt is left it is the end
 * all the same, as with Asynq. */
static void fail(lq_outcome *out, lq_buf *msg, const lq_settle_in *in,
                 lq_str text, int64_t delay_ms)
{
    if (in->task->retried >= in->max_retry) {
        archive(out, msg, in->task, text, in->now_ms);
        return;
    }
    lq_task copy = *in->task;
    bool failure = !in->verdict->not_failure;
    copy.retried += failure;
    copy.error_msg = lq_str_n(
        text.p, text.len > LQ_ERROR_TEXT_MAX ? LQ_ERROR_TEXT_MAX : text.len);
    copy.last_failed_s = in->now_ms / 1000;
    out->kind = LQ_RETRY_AT;
    out->is_failure = failure;
    out->delay_ms =
        delay_ms >= 0 ? delay_ms : lq_backoff_ms(in->task->retried, in->random);
    encode(out, msg, &copy);
}

static void succeed(lq_outcome *out, lq_buf *msg, const lq_settle_in *in)
{
    if (in->task->retention_s <= 0) {
        out->kind = LQ_DONE;
        return;
    }
    lq_task copy = *in->task;
    copy.completed_s = in->now_ms / 1000;
    out->kind = LQ_COMPLETE;
    out->retention_s = in->task->retention_s;
    out->result = in->verdict->result;
    encode(out, msg, &copy);
}

/* Ended from outside and the handler said nothing itself. */
static bool ended(lq_outcome *out, lq_buf *msg, const lq_settle_in *in)
{
    switch (in->cancel) {
    case LQ_CANCEL_LEASE:
        return false;
    case LQ_CANCEL_SHUTDOWN:
        out->kind = LQ_REQUEUE;
        out->keep_crashes = true;
        return true;
    case LQ_CANCEL_REQUEST:
        /* Asked for through Asynq's tools it is an ordinary failure; through
         * lunaq's the broker knows, and archives instead of retrying. */
        fail(out, msg, in,
             in->cancel_reason.len ? in->cancel_reason : LQ_STR("canceled"),
             in->verdict->delay_ms);
        return true;
    case LQ_CANCEL_NONE:
    case LQ_CANCEL_DEADLINE:
        break;
    }
    fail(out, msg, in,
         in->verdict->message.len ? in->verdict->message
                                  : LQ_STR("timeout: its time was up"),
         in->verdict->delay_ms);
    return true;
}

static bool settle(lq_outcome *out, lq_buf *msg, const lq_settle_in *in)
{
    const lq_verdict *v = in->verdict;

    out->msg = out->result = (lq_str){0};
    out->delay_ms = out->retention_s = 0;
    out->is_failure = out->keep_crashes = false;
    out->unique_key = in->task->unique_key;
    switch (v->kind) {
    case LQ_SUCCEEDED:
        succeed(out, msg, in);
        return true;
    case LQ_FAILED:
        fail(out, msg, in, v->message, v->delay_ms);
        return true;
    case LQ_RETRY_AFTER:
        fail(out, msg, in, v->message, v->delay_ms > 0 ? v->delay_ms : 0);
        return true;
    case LQ_SNOOZED:
        out->kind = LQ_SNOOZE;
        out->delay_ms = v->delay_ms > 0 ? v->delay_ms : 0;
        return true;
    case LQ_SKIPPED:
        archive(out, msg, in->task, v->message, in->now_ms);
        return true;
    case LQ_DISCARDED:
        out->kind = LQ_DISCARD;
        return true;
    case LQ_ENDED:
        break;
    }
    return ended(out, msg, in);
}

bool lq_settle(lq_outcome *out, lq_buf *msg, const lq_settle_in *in)
{
    bool written = settle(out, msg, in);
    if (out->delay_ms > DELAY_MAX_MS)
        out->delay_ms = DELAY_MAX_MS;
    return written;
}

void lq_settle_undecodable(lq_outcome *out, lq_buf *msg, lq_str id,
                           lq_str queue, lq_str bytes, const char *why,
                           int64_t now_ms)
{
    lq_task task = {.type = LQ_STR(LQ_TYPE_UNDECODABLE),
                    .payload = bytes,
                    .id = id,
                    .queue = queue,
                    .timeout_s = LQ_TIMEOUT_DEFAULT_S};
    archive(out, msg, &task, lq_str_c(why), now_ms);
}

void lq_settle_expired(lq_outcome *out, lq_buf *msg, const lq_expired *e,
                       const lq_task *task, int64_t crash_limit, int64_t now_ms,
                       uint64_t random)
{
    lq_verdict gone = {.kind = LQ_FAILED,
                       .message = LQ_STR("asynq: task lease expired"),
                       .delay_ms = -1};
    lq_settle_in in = {.task = task,
                       .max_retry = task->max_retry,
                       .verdict = &gone,
                       .now_ms = now_ms,
                       .random = random};

    *out = (lq_outcome){.id = e->id, .score = e->score};
    if (e->cancel.p) {
        archive(out, msg, task, e->cancel, now_ms);
        return;
    }
    if (e->token == 0) {
        lq_settle(out, msg, &in);
        return;
    }
    if (crash_limit > 0 && e->crashes + 1 >= crash_limit) {
        char text[160];
        snprintf(text, sizeof(text),
                 "crash: the process that ran it vanished %d times; not run "
                 "again, to protect the others",
                 (int)e->crashes + 1);
        archive(out, msg, task, lq_str_c(text), now_ms);
        return;
    }
    out->kind = LQ_CRASHED;
    out->keep_crashes = true;
}
