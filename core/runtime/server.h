/* A server's life: the threads, in order of start and stop. */
#ifndef LQ_SERVER_H
#define LQ_SERVER_H

#include "runtime/runtime.h"

/** Makes a runtime; the options are copied, what they point to is borrowed
 * until lq_server_free(). */
int lq_server_new(lq_runtime **out, const lq_runtime_options *options,
                  lunaq_error *err);
/** Starts control and worker threads; the runners are made, nothing is taken.
 */
int lq_server_start(lq_runtime *rt, lunaq_error *err);
/** Begins to take tasks. */
void lq_server_begin(lq_runtime *rt);
/** Takes nothing more.  Any thread. */
void lq_server_quiet(lq_runtime *rt);
/** Waits for running tasks, ends the rest, and ends the threads.  before_close
 *  runs when no task is left and the loops still turn.  *hurry (may change
 * while it waits) cuts the wait short.  LUNAQ_EBROKER when tasks were left
 * active. */
int lq_server_stop(lq_runtime *rt, atomic_bool *hurry,
                   void (*before_close)(void *ud), void *ud, lunaq_error *err);
void lq_server_free(lq_runtime *rt);
/** False while a worker is stuck inside one run. */
bool lq_server_healthy(lq_runtime *rt);

#endif
