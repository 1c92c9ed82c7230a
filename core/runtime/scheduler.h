/* The scheduler: periodic entries become tasks.
 *
 * Every server schedules.  The broker keeps each entry's last instant and takes
 * a tick only when it is later, so N servers, restarts and clock steps fire a
 * tick once.  What was missed while nobody ran is up to the entry's policy.
 */
#ifndef LQ_SCHEDULER_H
#define LQ_SCHEDULER_H

#include "runtime/periodic.h"
#include "runtime/schedule.h"

struct lq_control;

typedef struct lq_scheduler {
    struct lq_control *control;
    lq_periodic round;
    lq_periodic publish;
    lq_schedule schedule;
    lq_entry *at; /* whose tick is under way */
    bool reload;  /* the entries changed */
    lq_op_cron_fire fire;
    lq_op_cron_record record;
    lq_op_cron_publish pub;
    lq_arena pub_mem;
    lq_buf pub_buf;
    bool shown;             /* entries of ours are published */
    bool changed;           /* … but have changed since */
    char scheduler_id[384]; /* host:pid:uuid */
} lq_scheduler;

int lq_scheduler_start(lq_scheduler *s, struct lq_control *c, lunaq_error *err);
void lq_scheduler_stop(lq_scheduler *s);
/** The handler files changed. */
void lq_scheduler_reload(lq_scheduler *s);

/* scheduler_show.c: publishes the entries, again when they changed. */
int lq_scheduler_show_start(lq_scheduler *s, lunaq_error *err);

#endif
