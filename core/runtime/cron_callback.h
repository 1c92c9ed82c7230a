/* cron_callback: a program's C functions that provide periodic entries and
 * stand around ticks, run as hooks on a thread of their own. */
#ifndef LQ_CRON_CALLBACK_H
#define LQ_CRON_CALLBACK_H

#include "runner/runner.h"
#include <lunaq/server.h>

typedef struct lq_cron_callbacks lq_cron_callbacks;

/** Copies the hooks; the thread starts when it is first needed.  LUNAQ_EINVAL,
 *  LUNAQ_ECONFIG: they are none. */
int lq_cron_callbacks_new(lq_cron_callbacks **out,
                          const lunaq_cron_hooks *hooks, lq_log *log,
                          lunaq_error *err);
/** Waits for a function that runs; no runner is left.  NULL is fine. */
void lq_cron_callbacks_free(lq_cron_callbacks *c);
/** True on the thread of the functions: it cannot wait for its own end.  Any
 *  thread; NULL is fine. */
bool lq_cron_callbacks_inside(lq_cron_callbacks *c);
/** What was set; NULL when c is. */
const lunaq_cron_hooks *lq_cron_callbacks_hooks(const lq_cron_callbacks *c);

/** Makes a worker's runner, which has hooks only; ud is the
 *  lq_cron_callbacks. */
lq_runner_new_fn lq_cron_callback_runner_new;

#endif
