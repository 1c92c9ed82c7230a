/* The records by which schedulers show their entries to inspectors. */
#include "runtime/scheduler.h"

#include "runtime/control.h"
#include "task/duration.h"

#define PUBLISH_MS 10000
#define PUBLISH_TTL_MS 20000

static void published(lq_op *op)
{
    lq_scheduler *s = op->ud;
    if (op->rc == LUNAQ_OK && s->pub.count == 0)
        s->shown = false;
    lq_op_release(op);
    lq_arena_release(&s->pub_mem);
    lq_periodic_over(&s->publish);
    if (s->changed && s->at == NULL)
        lq_periodic_now(&s->publish);
}

#define OPTIONS_MAX 5

static void add_seconds(lq_buf *b, const char *name, int64_t seconds)
{
    lq_buf_add_c(b, name);
    lq_buf_add_char(b, '(');
    lq_duration_go(b, seconds * 1000);
    lq_buf_add_char(b, ')');
}

/* What the entry passes at enqueue, as Asynq writes options. */
static size_t options_of(lq_scheduler *s, const lq_entry *e, lq_str *out)
{
    const lq_task *t = &e->item.task;
    const struct {
        const char *name;
        int64_t seconds;
    } durations[] = {{"Timeout", t->timeout_s},
                     {"Unique", e->item.unique_s},
                     {"Retention", t->retention_s}};
    lq_buf b[OPTIONS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < OPTIONS_MAX; i++)
        lq_buf_init(&b[i], 2048);
    lq_buf_printf(&b[n++], "Queue(\"%.*s\")", LQ_STR_ARG(t->queue));
    lq_buf_printf(&b[n++], "MaxRetry(%d)", (int)t->max_retry);
    for (size_t i = 0; i < LQ_COUNT(durations); i++)
        if (durations[i].seconds > 0)
            add_seconds(&b[n++], durations[i].name, durations[i].seconds);
    for (size_t i = 0; i < n; i++) {
        char *text = lq_arena_dup(&s->pub_mem, lq_buf_str(&b[i]));
        out[i] = lq_str_c(text ? text : "Queue(\"\")");
    }
    for (size_t i = 0; i < OPTIONS_MAX; i++)
        lq_buf_release(&b[i]);
    return n;
}

static void publish(void *ud)
{
    lq_scheduler *s = ud;
    size_t n = 0, at = 0;

    for (const lq_entry *e = s->schedule.entries; e; e = e->next)
        n++;
    lq_str *encoded = lq_arena_alloc(&s->pub_mem, (n + 1) * sizeof(*encoded));
    if (!s->control->link_up || !encoded || (n == 0 && !s->shown)) {
        lq_arena_release(&s->pub_mem);
        lq_periodic_over(&s->publish);
        return;
    }
    for (const lq_entry *e = s->schedule.entries; e; e = e->next) {
        lq_str options[OPTIONS_MAX];
        lq_cron_msg m = {.id = lq_str_c(e->id),
                         .spec = lq_str_c(e->spec),
                         .type = e->item.task.type,
                         .payload = e->item.task.payload,
                         .options = options,
                         .option_count = options_of(s, e, options),
                         .next_ms = e->next_ms,
                         .prev_ms = e->last_ms};
        lq_buf_clear(&s->pub_buf);
        lq_cron_encode(&s->pub_buf, &m);
        char *p = lq_arena_dup(&s->pub_mem, lq_buf_str(&s->pub_buf));
        if (p)
            encoded[at++] = lq_str_n(p, s->pub_buf.len);
    }
    lq_op_init(&s->pub.op, LQ_OP_CRON_PUBLISH);
    s->pub.op.done = published;
    s->pub.op.ud = s;
    s->pub.scheduler_id = lq_str_c(s->scheduler_id);
    s->pub.entries = encoded;
    s->pub.count = at;
    s->shown = s->shown || at > 0;
    s->changed = false;
    s->pub.ttl_ms = PUBLISH_TTL_MS;
    lq_link_submit(s->control->link, &s->pub.op);
}

int lq_scheduler_show_start(lq_scheduler *s, lunaq_error *err)
{
    lq_buf_init(&s->pub_buf, 0);
    return lq_periodic_start(&s->publish, s->control->loop, 1000, PUBLISH_MS,
                             publish, s, err);
}
