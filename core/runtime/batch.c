/* Writing a batch: see batch.h. */
#include "runtime/batch.h"

#include "base/log_format.h"
#include "task/id.h"

#include <openssl/evp.h>

static void add_base64(lq_buf *out, lq_str bytes)
{
    size_t len = (bytes.len + 2) / 3 * 4;
    char *to = lq_buf_reserve(out, len + 1);
    if (!to)
        return;
    EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)bytes.p,
                    (int)bytes.len);
    lq_buf_grew(out, len);
}

static void add_headers(lq_buf *out, const lq_task *t)
{
    lq_buf_add_c(out, ",\"headers\":{");
    for (size_t i = 0; i < t->header_count; i++) {
        if (i)
            lq_buf_add_char(out, ',');
        lq_log_json_string(out, t->headers[i].key);
        lq_buf_add_char(out, ':');
        lq_log_json_string(out, t->headers[i].value);
    }
    lq_buf_add_char(out, '}');
}

static void add_task(lq_buf *out, const lq_task *t,
                     bool (*is_json)(lq_str text))
{
    lq_buf_add_c(out, "{\"id\":");
    lq_log_json_string(out, t->id);
    lq_buf_add_c(out, ",\"type\":");
    lq_log_json_string(out, t->type);
    if (t->header_count)
        add_headers(out, t);
    if (t->payload.len && is_json && is_json(t->payload)) {
        lq_buf_add_c(out, ",\"payload\":");
        lq_buf_add_str(out, t->payload);
    } else if (t->payload.len) {
        lq_buf_add_c(out, ",\"payload_base64\":\"");
        add_base64(out, t->payload);
        lq_buf_add_char(out, '"');
    }
    lq_buf_add_char(out, '}');
}

int lq_batch_make(lq_enqueue *e, lq_str queue, lq_str group,
                  const lq_task *tasks, const size_t *at, size_t n,
                  bool (*is_json)(lq_str text), lq_arena *mem, int64_t now_ms,
                  lunaq_error *err)
{
    const lq_task *oldest = &tasks[at[0]];
    int rc = LUNAQ_OK;
    lq_buf payload;

    lq_buf_init(&payload, LQ_PAYLOAD_MAX);
    lq_buf_add_c(&payload, "{\"group\":");
    lq_log_json_string(&payload, group);
    lq_buf_add_c(&payload, ",\"tasks\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            lq_buf_add_char(&payload, ',');
        add_task(&payload, &tasks[at[i]], is_json);
    }
    lq_buf_add_c(&payload, "]}");
    if (payload.failed) {
        rc = lq_fail(err, LUNAQ_EFULL,
                     "a batch of %zu tasks has more than %zu bytes", n,
                     LQ_PAYLOAD_MAX);
        goto out;
    }
    lq_header *header = lq_arena_alloc(mem, sizeof(*header));
    char *bytes = lq_arena_dup(mem, lq_buf_str(&payload));
    if (!header || !bytes) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    *header = (lq_header){LQ_STR(LQ_BATCH_HEADER), group};
    memset(e, 0, sizeof(*e));
    lq_uuid7(e->id, now_ms);
    e->task = (lq_task){.type = oldest->type,
                        .payload = lq_str_n(bytes, payload.len),
                        .id = lq_str_c(e->id),
                        .queue = queue,
                        .max_retry = oldest->max_retry,
                        .timeout_s = oldest->timeout_s,
                        .deadline_s = oldest->deadline_s,
                        .retention_s = oldest->retention_s,
                        .headers = header,
                        .header_count = 1};
out:
    lq_buf_release(&payload);
    return rc;
}
