/* callback: runs tasks in C functions, on a pool of threads.
 *
 * One lq_callbacks serves all workers of a server; each worker has a runner of
 * its own over it.  A function may block.  A run that is canceled ends when
 * its function has returned (at once if it has not begun), so its slot stays
 * taken as long as a thread is.
 */
#ifndef LQ_CALLBACK_H
#define LQ_CALLBACK_H

#include "runner/runner.h"
#include <lunaq/server.h>

typedef struct lq_callbacks lq_callbacks;

/** An empty table.  threads: at most so many run at once, > 0; they start when
 *  they are first needed and have every signal blocked.  log may be NULL. */
int lq_callbacks_new(lq_callbacks **out, size_t threads, lq_log *log,
                     lunaq_error *err);
/** Ends the threads; no run is left and no runner is used after.  NULL is
 *  fine. */
void lq_callbacks_free(lq_callbacks *c);

/** Adds a function for a task type, or with '*' at its end for all that begin
 *  so.  options may be NULL.  Before the first runner is made.  LUNAQ_EINVAL:
 *  not a task type; LUNAQ_EEXIST: it has one; LUNAQ_ECONFIG: an option is out
 *  of range. */
int lq_callbacks_add(lq_callbacks *c, const char *type,
                     const lunaq_handler_options *options, lunaq_handler_fn *fn,
                     void *userdata, lunaq_error *err);
/** Puts a function around every handler and around what nobody handles, inside
 *  of those that were added before; it calls lunaq_run_next().  Before the
 *  first runner is made. */
int lq_callbacks_use(lq_callbacks *c, lunaq_handler_fn *fn, void *userdata,
                     lunaq_error *err);
/** What the server's program wants to be asked and told.  Before the first
 *  runner is made.  LUNAQ_EINVAL: a field is not known. */
int lq_callbacks_hook(lq_callbacks *c, const lunaq_server_hooks *hooks,
                      lunaq_error *err);
const lunaq_server_hooks *lq_callbacks_hooks(const lq_callbacks *c);
/** There is middleware. */
bool lq_callbacks_around(const lq_callbacks *c);
/** Sets the server's aggregator, which gets all groups.  Before the first
 *  runner is made. */
void lq_callbacks_aggregate(lq_callbacks *c, lunaq_aggregate_fn *fn,
                            void *userdata);
/** How many handlers were added. */
size_t lq_callbacks_count(const lq_callbacks *c);
/** True when the type has a function: its own, or that of its longest prefix.
 *  Any thread. */
bool lq_callbacks_handles(const lq_callbacks *c, lq_str type);
/** What is said of the type's function; false when it has none.  Any thread. */
bool lq_callbacks_type(const lq_callbacks *c, lq_str type,
                       lq_type_options *out);
/** True on a thread of the pool: what waits for runs to end must not be called
 *  there.  Any thread. */
bool lq_callbacks_inside(lq_callbacks *c);

/** Makes a worker's runner; ud is the lq_callbacks. */
lq_runner_new_fn lq_callback_runner_new;

#endif
