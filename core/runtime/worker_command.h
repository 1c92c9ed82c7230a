/* Between worker.c and worker_command.c; others use worker.h. */
#ifndef LQ_WORKER_COMMAND_H
#define LQ_WORKER_COMMAND_H

#include "loop/loop.h"

struct lq_worker;

/** The functions of the worker's posts. */
void lq_worker_commanded(lq_post *post);
void lq_worker_kicked(lq_post *post);
/** One of the links and waiters is closed; the last one ends the loop. */
void lq_worker_closed_one(void *worker);
/** Any thread: closes everything, which ends the loop. */
void lq_worker_close(struct lq_worker *w);

#endif
