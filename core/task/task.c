/* A task's fields: what they may be, and what they are when left out. */
#include "task/task.h"

#include "task/durable.h"

#include "base/alloc.h"
#include "task/id.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>

#define HEADERS_MAX ((size_t)1000)
#define DURATION_MAX_MS (INT64_MAX / 4) /* a sum of two does not overflow */

static_assert(sizeof(lunaq_task) ==
                  offsetof(lunaq_task, durable) + sizeof(int64_t),
              "lunaq_task ends full");

void lq_task_release(lq_task *t)
{
    lq_free(t->headers);
    lq_free(t->unknown);
    *t = (lq_task){0};
}

/* ---- names -------------------------------------------------------------- */

static bool is_control(lq_str c)
{
    unsigned char a = (unsigned char)c.p[0];
    return a < 0x20 || a == 0x7f ||
           (a == 0xc2 && (unsigned char)c.p[1] < 0xa0); /* C1 */
}

/* White space as Go's strings.TrimSpace sees it, since Asynq refuses names that
 * it trims to nothing.  c is not a control character. */
static bool is_space(lq_str c)
{
    static const char *const spaces[] = {" ",
                                         "\xc2\xa0",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xa9",
                                         "\xe2\x80\xaf",
                                         "\xe2\x81\x9f",
                                         "\xe3\x80\x80"};
    for (size_t i = 0; i < LQ_COUNT(spaces); i++)
        if (lq_str_eq(c, lq_str_c(spaces[i])))
            return true;
    /* U+2000 to U+200A */
    return c.len == 3 && memcmp(c.p, "\xe2\x80", 2) == 0 &&
           (unsigned char)c.p[2] <= 0x8a;
}

int lq_name_check(const char *what, lq_str name, lunaq_error *err)
{
    if (name.len == 0)
        return lq_fail(err, LUNAQ_EINVAL, "%s: it is empty", what);
    if (name.len > LUNAQ_NAME_MAX)
        return lq_fail(err, LUNAQ_EINVAL, "%s: it has %zu bytes, more than %d",
                       what, name.len, LUNAQ_NAME_MAX);
    bool queue = strcmp(what, "queue") == 0, blank = true;
    for (lq_str rest = name; rest.len > 0;) {
        size_t n = lq_utf8_char(rest);
        if (n == 0)
            return lq_fail(err, LUNAQ_EINVAL, "%s: byte %zu is not UTF-8", what,
                           name.len - rest.len);
        lq_str c = {rest.p, n};
        if (is_control(c))
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s: byte %zu is a control character", what,
                           name.len - rest.len);
        if (queue && (c.p[0] == '{' || c.p[0] == '}'))
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s \"%.*s\": '%c' is not allowed", what,
                           LQ_STR_ARG(name), c.p[0]);
        blank = blank && is_space(c);
        rest = lq_str_n(rest.p + n, rest.len - n);
    }
    if (blank)
        return lq_fail(err, LUNAQ_EINVAL, "%s: it is blank", what);
    return LUNAQ_OK;
}

/* ---- the unique key ----------------------------------------------------- */

bool lq_unique_key(char *out, lq_str queue, lq_str type, lq_str payload)
{
    size_t size = LUNAQ_NAME_MAX * 2 + 80;
    int n = snprintf(out, size, "asynq:{%.*s}:unique:%.*s:", LQ_STR_ARG(queue),
                     LQ_STR_ARG(type));
    if (!payload.p)
        return true;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(payload.p, payload.len, digest, &len, EVP_md5(), NULL))
        return false;
    char *to = out + n;
    for (unsigned i = 0; i < len; i++)
        to += snprintf(to, 3, "%02x", digest[i]);
    return true;
}

/* ---- enqueue ------------------------------------------------------------ */

/* Copies what we know of a struct whose caller may know fewer or more fields.
 * Fewer than the first release had is a size that was never set. */
static int read_task(lunaq_task *out, const lunaq_task *t, lunaq_error *err)
{
    size_t known = sizeof *out, size = t->size;
    if (size < offsetof(lunaq_task, durable) + sizeof t->unique_ms ||
        size > 64 * known)
        return lq_fail(err, LUNAQ_EINVAL,
                       "size: it is %zu; begin with LUNAQ_TASK_INIT", size);
    for (size_t i = known; i < size; i++)
        if (((const char *)t)[i])
            return lq_fail(
                err, LUNAQ_EINVAL,
                "size: the task uses fields that lunaq " LUNAQ_VERSION
                " does not know");
    memcpy(out, t, known);
    return LUNAQ_OK;
}

/* Milliseconds → seconds, rounded up; zero and -1 stay. */
static int64_t seconds_up(int64_t ms)
{
    return ms > 0 ? (ms - 1) / 1000 + 1 : ms;
}

static int check_ms(const char *what, int64_t ms, bool minus_one,
                    lunaq_error *err)
{
    if (ms < (minus_one ? -1 : 0) || ms > DURATION_MAX_MS)
        return lq_fail(err, LUNAQ_EINVAL, "%s: %lld is out of range", what,
                       (long long)ms);
    return LUNAQ_OK;
}

static int init_names(lq_enqueue *e, const lunaq_task *t, int64_t now_ms,
                      lunaq_error *err)
{
    lq_task *task = &e->task;
    task->type = lq_str_c(t->type);
    task->queue = lq_str_c(t->queue ? t->queue : "default");
    task->group_key = lq_str_c(t->group);
    int rc = lq_name_check("task type", task->type, err);
    if (!rc)
        rc = lq_name_check("queue", task->queue, err);
    if (!rc && t->group)
        rc = lq_name_check("group", task->group_key, err);
    if (!rc && t->task_id)
        rc = lq_name_check("task id", lq_str_c(t->task_id), err);
    if (rc)
        return rc;
    if (t->task_id)
        memcpy(e->id, t->task_id, strlen(t->task_id) + 1);
    else
        lq_uuid7(e->id, now_ms);
    task->id = lq_str_c(e->id);
    return LUNAQ_OK;
}

static int init_payload(lq_enqueue *e, const lunaq_task *t, lunaq_error *err)
{
    if (t->payload_len > 0 && !t->payload)
        return lq_fail(err, LUNAQ_EINVAL,
                       "payload: it is NULL, but "
                       "payload_len is not 0");
    if (t->payload_len > LQ_PAYLOAD_MAX)
        return lq_fail(err, LUNAQ_EINVAL,
                       "payload: it has %zu bytes, more than %zu: store it "
                       "elsewhere and pass where",
                       t->payload_len, LQ_PAYLOAD_MAX);
    e->task.payload = lq_str_n(t->payload, t->payload_len);
    return LUNAQ_OK;
}

static int init_headers(lq_enqueue *e, const lunaq_task *t, lunaq_error *err)
{
    if (t->header_count == 0)
        return LUNAQ_OK;
    if (!t->headers || t->header_count > HEADERS_MAX)
        return lq_fail(err, LUNAQ_EINVAL,
                       "headers: NULL, or more than %zu of them", HEADERS_MAX);
    e->task.headers = lq_calloc(t->header_count, sizeof *e->task.headers);
    if (!e->task.headers)
        return lq_fail_nomem(err);
    e->task.header_count = t->header_count;
    for (size_t i = 0; i < t->header_count; i++) {
        lq_header h = {lq_str_c(t->headers[i].name),
                       lq_str_c(t->headers[i].value)};
        if (h.key.len == 0 || !lq_utf8_valid(h.key) || !lq_utf8_valid(h.value))
            return lq_fail(err, LUNAQ_EINVAL,
                           "headers: number %zu has no name or is not UTF-8",
                           i + 1);
        e->task.headers[i] = h;
    }
    return LUNAQ_OK;
}

static int init_times(lq_enqueue *e, const lunaq_task *t, int64_t now_ms,
                      lunaq_error *err)
{
    lq_task *task = &e->task;
    if (t->max_retry < -1 || t->max_retry > INT32_MAX)
        return lq_fail(err, LUNAQ_EINVAL, "max_retry: %lld is out of range",
                       (long long)t->max_retry);
    int rc = check_ms("timeout_ms", t->timeout_ms, true, err);
    if (!rc)
        rc = check_ms("deadline_at", t->deadline_at, false, err);
    if (!rc)
        rc = check_ms("process_at", t->process_at, false, err);
    if (!rc)
        rc = check_ms("process_in_ms", t->process_in_ms, false, err);
    if (!rc)
        rc = check_ms("retention_ms", t->retention_ms, false, err);
    if (!rc)
        rc = check_ms("unique_ms", t->unique_ms, false, err);
    if (rc)
        return rc;
    if (t->process_at && t->process_in_ms)
        return lq_fail(err, LUNAQ_EINVAL,
                       "process_at and process_in_ms: give only one of them");
    if (t->unique_ms > 0 && t->unique_ms < 1000)
        return lq_fail(err, LUNAQ_EINVAL,
                       "unique_ms: %lld is less than a second (1000)",
                       (long long)t->unique_ms);

    task->max_retry = t->max_retry == 0    ? LQ_MAX_RETRY_DEFAULT
                      : t->max_retry == -1 ? 0
                                           : (int32_t)t->max_retry;
    /* As Asynq: who gives a deadline alone wants no other limit. */
    task->timeout_s = t->timeout_ms == 0
                          ? (t->deadline_at ? 0 : LQ_TIMEOUT_DEFAULT_S)
                      : t->timeout_ms == -1 ? 0
                                            : seconds_up(t->timeout_ms);
    /* Cut, so that nothing goes on after it; 0 would mean none. */
    task->deadline_s = t->deadline_at / 1000;
    if (t->deadline_at > 0 && task->deadline_s == 0)
        task->deadline_s = 1;
    task->retention_s = seconds_up(t->retention_ms);
    int64_t at = t->process_in_ms ? now_ms + t->process_in_ms : t->process_at;
    e->process_at_ms = at > now_ms ? at : 0;
    return LUNAQ_OK;
}

static int init_unique(lq_enqueue *e, const lunaq_task *t, int64_t now_ms,
                       lunaq_error *err)
{
    if (t->unique_ms == 0)
        return LUNAQ_OK;
    lq_task *task = &e->task;
    /* The lock lasts from when the task may run, as Asynq's does. */
    int64_t wait_ms = e->process_at_ms ? e->process_at_ms - now_ms : 0;
    e->unique_s = seconds_up(t->unique_ms) + seconds_up(wait_ms);
    if (!lq_unique_key(e->unique_key, task->queue, task->type, task->payload))
        return lq_fail(err, LUNAQ_EINVAL,
                       "unique_ms: OpenSSL refuses MD5 here (FIPS mode?), "
                       "which the lock's name is made with");
    task->unique_key = lq_str_c(e->unique_key);
    return LUNAQ_OK;
}

int lq_enqueue_init(lq_enqueue *e, const lunaq_task *t, int64_t now_ms,
                    lunaq_error *err)
{
    lunaq_task known = {0};
    *e = (lq_enqueue){0};
    int rc = read_task(&known, t, err);
    if (!rc)
        rc = init_names(e, &known, now_ms, err);
    if (!rc)
        rc = init_payload(e, &known, err);
    if (!rc)
        rc = init_headers(e, &known, err);
    if (!rc)
        rc = init_times(e, &known, now_ms, err);
    if (!rc)
        rc = init_unique(e, &known, now_ms, err);
    if (!rc)
        rc = lq_durable_check(known.durable, err);
    e->durable = (int)known.durable;
    if (rc)
        lq_enqueue_release(e);
    return rc;
}

void lq_enqueue_release(lq_enqueue *e)
{
    lq_task_release(&e->task);
}

int64_t lq_attempt_deadline_ms(const lq_task *t, int64_t now_ms)
{
    const int64_t far = INT64_MAX / 2000; /* seconds that fit, with now added */
    int64_t end = 0;
    if (t->timeout_s > 0)
        end = now_ms + (t->timeout_s < far ? t->timeout_s : far) * 1000;
    if (t->deadline_s != 0) {
        /* A negative one is long past, and 0 would mean never. */
        int64_t s = t->deadline_s < far ? t->deadline_s : far;
        int64_t deadline = s > 0 ? s * 1000 : 1;
        if (end == 0 || deadline < end)
            end = deadline;
    }
    return end;
}
