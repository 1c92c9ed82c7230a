/* The records by which schedulers show their entries to inspectors. */
#include "runtime/scheduler.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "task/cron_options.h"

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

/* One entry's record, into pub_mem; p NULL when out of memory. */
static lq_str encode(lq_scheduler *s, const lq_entry *e)
{
    const lq_cron_shown shown = {.item = &e->item,
                                 .missed = e->rule.missed,
                                 .dst = e->rule.cron.dst,
                                 .name = e->name,
                                 .server = s->scheduler_id};
    lq_cron_msg m = {.id = lq_str_c(e->id),
                     .spec = lq_str_c(e->spec),
                     .type = e->item.task.type,
                     .payload = e->item.task.payload,
                     .next_ms =
                         e->seen ? e->next_ms
                                 : lq_cron_next_ms(&e->rule.cron, lq_now_ms()),
                     .prev_ms = e->last_ms};
    if (!lq_cron_options_render(&shown, &s->pub_mem, &m.options,
                                &m.option_count))
        return (lq_str){0};
    lq_buf_clear(&s->pub_buf);
    lq_cron_encode(&s->pub_buf, &m);
    char *p = s->pub_buf.failed
                  ? NULL
                  : lq_arena_dup(&s->pub_mem, lq_buf_str(&s->pub_buf));
    return lq_str_n(p, p ? s->pub_buf.len : 0);
}

static void publish(void *ud)
{
    lq_scheduler *s = ud;
    size_t n = s->schedule.count, at = 0;

    lq_str *encoded = lq_arena_alloc(&s->pub_mem, (n + 1) * sizeof(*encoded));
    if (!s->control->link_up || !encoded || (n == 0 && !s->shown)) {
        lq_arena_release(&s->pub_mem);
        lq_periodic_over(&s->publish);
        return;
    }
    for (const lq_entry *e = s->schedule.entries; e; e = e->next) {
        encoded[at] = encode(s, e);
        at += encoded[at].p != NULL;
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
