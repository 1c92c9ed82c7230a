/* The options of a periodic entry as text, as Asynq's scheduler publishes them:
 * Queue("low"), MaxRetry(3), Timeout(30s) … and what lunaq adds in the same
 * form, which Asynq's readers pass over: Name("x"), Missed(skip), Dst(robfig),
 * Server("host:pid:id").
 */
#ifndef LQ_CRON_OPTIONS_H
#define LQ_CRON_OPTIONS_H

#include "base/alloc.h"
#include "task/cron_rule.h"
#include "task/task.h"

typedef struct lq_cron_shown {
    const lq_enqueue *item;
    enum lq_missed missed;
    enum lq_dst dst;
    const char *name;   /* NULL = none */
    const char *server; /* who schedules it */
} lq_cron_shown;

/** Renders them into mem: *out, *count.  False: out of memory. */
bool lq_cron_options_render(const lq_cron_shown *shown, lq_arena *mem,
                            const lq_str **out, size_t *count);
/** The argument of the option `name` among them, unquoted, in mem; p NULL when
 *  there is none, or out of memory. */
lq_str lq_cron_option(const lq_str *options, size_t count, const char *name,
                      lq_arena *mem);
/** The zone in front of a spec, a view into it; "UTC" when there is none. */
lq_str lq_cron_spec_zone(lq_str spec);

#endif
