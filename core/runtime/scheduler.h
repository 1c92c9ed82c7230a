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
    struct lq_provider *providers; /* a linked list */
    int places;                    /* how many providers there ever were */
    lq_entry *at;                  /* whose tick is under way */
    bool reload;                   /* the entries changed */
    bool again;                    /* another round shall follow at once */
    lq_op_cron_fire fire;
    lq_op_cron_publish pub;
    lq_arena pub_mem;
    lq_buf pub_buf;
    lq_list notes; /* of the history, to be sent again */
    size_t note_count;
    bool shown;             /* entries of ours are published */
    bool changed;           /* … but have changed since */
    char scheduler_id[384]; /* host:pid:uuid */
} lq_scheduler;

int lq_scheduler_start(lq_scheduler *s, struct lq_control *c, lunaq_error *err);
void lq_scheduler_stop(lq_scheduler *s);
/** The handler files changed. */
void lq_scheduler_reload(lq_scheduler *s);

/* Between its own files: */

/* The next round shall come as soon as it can. */
void lq_scheduler_now(lq_scheduler *s);

/* scheduler_provide.c: which providers there are, anew; takes what they gave
 * and asks those that are due, between two rounds; when that is next (ms). */
void lq_scheduler_find_providers(lq_scheduler *s);
void lq_scheduler_provide(lq_scheduler *s);
int64_t lq_scheduler_provide_in(const lq_scheduler *s);
void lq_scheduler_forget_providers(lq_scheduler *s);

/* scheduler_hooks.c: asks before_enqueue about an instant; false: there is
 * none.  The answer is found in the entry.  And tells after_enqueue of it. */
bool lq_scheduler_ask(lq_scheduler *s, lq_entry *e, int64_t instant_ms);
void lq_scheduler_tell(lq_scheduler *s, lq_entry *e, int64_t instant_ms);

/* scheduler_history.c: notes what a tick enqueued; sends again what was lost.
 */
void lq_scheduler_record(lq_scheduler *s, const lq_entry *e);
void lq_scheduler_record_again(lq_scheduler *s);
void lq_scheduler_forget_records(lq_scheduler *s);

/* scheduler_show.c: publishes the entries, again when they changed. */
int lq_scheduler_show_start(lq_scheduler *s, lunaq_error *err);

#endif
