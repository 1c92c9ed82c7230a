/* The functions a C handler calls on its run, and what its return means. */
#include "runtime/callback_run.h"

#include "base/alloc.h"
#include "runtime/callback_group.h"

/* What a verdict function returns, for the handler to return: a number that is
 * no error code.  The verdict itself is kept in the run. */
#define SAID (-0x4c51)

static char *put(char *at, lq_str s, const char **copy)
{
    if (s.len)
        memcpy(at, s.p, s.len);
    at[s.len] = '\0';
    *copy = at;
    return at + s.len + 1;
}

static size_t headers_size(const lq_task *t)
{
    size_t size = t->header_count * sizeof(lunaq_header);
    for (size_t i = 0; i < t->header_count; i++)
        size += t->headers[i].key.len + t->headers[i].value.len + 2;
    return size;
}

lunaq_run *lq_callback_run_new(lq_run *run)
{
    const lq_task *t = &run->task;
    const lq_archived_in *in = run->kind == LQ_RUN_ARCHIVED ? run->in : NULL;
    lq_str error = in ? in->error : (lq_str){0};
    size_t size = sizeof(lunaq_run) + headers_size(t) + t->id.len +
                  t->type.len + t->queue.len + t->group_key.len +
                  t->payload.len + error.len + 6;
    lunaq_run *r = lq_malloc(size);
    char *at;

    if (!r)
        return NULL;
    memset(r, 0, sizeof(*r));
    r->headers = (lunaq_header *)(r + 1);
    r->header_count = t->header_count;
    at = (char *)(r->headers + t->header_count);
    for (size_t i = 0; i < t->header_count; i++) {
        at = put(at, t->headers[i].key, &r->headers[i].name);
        at = put(at, t->headers[i].value, &r->headers[i].value);
    }
    at = put(at, t->id, &r->id);
    at = put(at, t->type, &r->type);
    at = put(at, t->queue, &r->queue);
    at = put(at, t->group_key, &r->group);
    at = put(at, error, &r->error);
    put(at, t->payload, &r->payload);
    r->payload_len = t->payload.len;
    r->attempt = (int64_t)t->retried + 1;
    r->attempts = run->max_retry + 1;
    r->deadline_ms = run->deadline_ms;
    r->run = run;
    atomic_init(&r->canceled, LQ_CANCEL_NONE);
    lq_list_init(&r->node);
    lq_list_init(&r->of_runner);
    return r;
}

void lq_callback_run_free(lunaq_run *r)
{
    if (!r)
        return;
    lq_callback_group_free(r->batch);
    lq_free(r->why);
    lq_free(r->result);
    lq_free(r);
}

void lq_callback_run_returned(lunaq_run *r, int code)
{
    lq_verdict *v = &r->verdict;

    *v = (lq_verdict){.kind = LQ_FAILED, .error_kind = "error", .delay_ms = -1};
    r->over = true;
    int why = atomic_load(&r->canceled);
    if (why) {
        v->kind = LQ_ENDED;
        v->message = LQ_STR("canceled");
        if (why == LQ_CANCEL_DEADLINE) {
            v->message = LQ_STR("timeout: its time was up");
            v->error_kind = "timeout";
        }
    } else if (code == LUNAQ_OK) {
        v->kind = LQ_SUCCEEDED;
        v->result = lq_str_n(r->result, r->result_len);
    } else if (code == SAID && r->kind) {
        v->kind = r->kind;
        v->message = lq_str_c(r->why);
        if (r->error_kind)
            v->error_kind = r->error_kind;
        if (r->kind != LQ_FAILED)
            v->delay_ms = r->delay_ms;
    } else {
        v->message = lq_str_c(lunaq_strerror(code));
    }
}

/* ---- what a run is ------------------------------------------------------- */

const char *lunaq_run_id(const lunaq_run *run)
{
    return run->id;
}

const char *lunaq_run_type(const lunaq_run *run)
{
    return run->type;
}

const char *lunaq_run_queue(const lunaq_run *run)
{
    return run->queue;
}

const char *lunaq_run_group(const lunaq_run *run)
{
    return run->group;
}

const lunaq_header *lunaq_run_headers(const lunaq_run *run, size_t *count)
{
    *count = run->header_count;
    return run->headers;
}

const char *lunaq_run_header(const lunaq_run *run, const char *name)
{
    for (size_t i = 0; name && i < run->header_count; i++)
        if (strcmp(run->headers[i].name, name) == 0)
            return run->headers[i].value;
    return NULL;
}

const void *lunaq_run_payload(const lunaq_run *run, size_t *len)
{
    if (len)
        *len = run->payload_len;
    return run->payload;
}

int64_t lunaq_run_attempt(const lunaq_run *run)
{
    return run->attempt;
}

int64_t lunaq_run_attempts(const lunaq_run *run)
{
    return run->attempts;
}

int64_t lunaq_run_deadline_at(const lunaq_run *run)
{
    return run->deadline_ms;
}

int lunaq_run_canceled(const lunaq_run *run)
{
    return atomic_load(&run->canceled) != LQ_CANCEL_NONE;
}

/* ---- what becomes of it -------------------------------------------------- */

int lunaq_run_set_result(lunaq_run *run, const void *data, size_t len)
{
    char *copy;

    if (!data && len)
        return LUNAQ_EINVAL;
    if (len > LQ_PAYLOAD_MAX)
        return LUNAQ_EFULL;
    copy = lq_strdup_n(lq_str_n(data, len));
    if (!copy)
        return LUNAQ_ENOMEM;
    lq_free(run->result);
    run->result = copy;
    run->result_len = len;
    return LUNAQ_OK;
}

/* The last one that is said counts; what a hook says, once the handler has
 * returned, does not.  Out of memory costs the text alone. */
static int say(lunaq_run *run, enum lq_verdict_kind kind, int64_t delay_ms,
               const char *why, const char *instead)
{
    lq_str text = lq_str_c(why ? why : instead);

    if (run->over)
        return SAID;
    if (text.len > LQ_ERROR_TEXT_MAX)
        text.len = LQ_ERROR_TEXT_MAX;
    lq_free(run->why);
    run->why = lq_strdup_n(text);
    if (run->why)
        run->why[lq_utf8_clean(text, run->why, text.len)] = '\0';
    run->kind = kind;
    run->error_kind = NULL;
    run->delay_ms = delay_ms > 0 ? delay_ms : 0;
    return SAID;
}

int lunaq_run_fail(lunaq_run *run, const char *why)
{
    return say(run, LQ_FAILED, 0, why, "the handler failed");
}

int lunaq_run_retry_after(lunaq_run *run, int64_t delay_ms, const char *why)
{
    return say(run, LQ_RETRY_AFTER, delay_ms, why, "the handler failed");
}

int lunaq_run_snooze(lunaq_run *run, int64_t delay_ms, const char *why)
{
    return say(run, LQ_SNOOZED, delay_ms, why, "not now");
}

int lunaq_run_skip_retry(lunaq_run *run, const char *why)
{
    return say(run, LQ_SKIPPED, 0, why, "the handler gave it up");
}

int lunaq_run_discard(lunaq_run *run, const char *why)
{
    return say(run, LQ_DISCARDED, 0, why, "not wanted any more");
}
