/* callback_run: what a C handler sees of its run. */
#ifndef LQ_CALLBACK_RUN_H
#define LQ_CALLBACK_RUN_H

#include "loop/loop.h"
#include "runner/runner.h"
#include <lunaq/server.h>
#include <stdatomic.h>

/* One run on its way through the pool.  The worker's thread makes it, a thread
 * of the pool has it until it posts it back, the worker's thread frees it; in
 * between the two share `canceled` alone. */
struct lunaq_run {
    lq_run *run;                       /* the worker's thread only */
    struct lq_callback_runner *runner; /* NULL: it is gone, nobody waits */
    lunaq_handler_fn *fn;
    void *userdata;
    lq_list node; /* in the pool's queue, or among what it runs */
    bool queued;  /* in it; guarded by the pool's lock */
    lq_post post; /* back to the worker */
    atomic_bool canceled;

    /* copies, NUL-terminated, behind the struct */
    const char *id, *type, *queue, *payload;
    size_t payload_len;
    int64_t attempt, attempts, deadline_ms;

    /* what the handler said */
    enum lq_verdict_kind kind; /* 0 = nothing yet */
    int64_t delay_ms;
    char *why;
    char *result;
    size_t result_len;
    lq_verdict verdict; /* made when it returned; points into the above */
};

/** Copies what a handler may read.  NULL when out of memory. */
lunaq_run *lq_callback_run_new(lq_run *run);
void lq_callback_run_free(lunaq_run *r);
/** Turns what the handler returned, and said before, into r->verdict. */
void lq_callback_run_returned(lunaq_run *r, int code);

#endif
