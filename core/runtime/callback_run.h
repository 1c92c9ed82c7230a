/* callback_run: what a C handler sees of its run. */
#ifndef LQ_CALLBACK_RUN_H
#define LQ_CALLBACK_RUN_H

#include "loop/loop.h"
#include "runner/runner.h"
#include <lunaq/server.h>
#include <stdatomic.h>

/* What is around all handlers of a server. */
typedef struct lq_callback_around {
    struct {
        lunaq_handler_fn *fn;
        void *userdata;
    } * steps; /* middleware, the outermost first */
    size_t count;
    lunaq_server_hooks hooks;
} lq_callback_around;

/* One run on its way through the pool.  The worker's thread makes it, a thread
 * of the pool has it until it posts it back, the worker's thread frees it; in
 * between the two share `canceled` and, guarded by the pool's lock, what is
 * said so. */
struct lunaq_run {
    lq_run *run; /* the worker's thread only */
    struct lq_callbacks *pool;
    struct lq_callback_runner *runner; /* NULL: it is gone, nobody waits; set
                                          so by the worker's thread, with the
                                          pool's lock held */
    lunaq_handler_fn *fn;              /* NULL: no handler has the type */
    void *userdata;
    size_t depth; /* how many steps of middleware are inside of each other */
    lq_list node; /* in the pool's queue, or among what it runs */
    lq_list of_runner;   /* the worker's thread only */
    bool queued;         /* in it; guarded by the pool's lock */
    lq_post post;        /* back to the worker */
    atomic_int canceled; /* an enum lq_cancel */

    /* copies, NUL-terminated, behind the struct */
    const char *id, *type, *queue, *group, *payload;
    const char *error; /* of an archived task */
    size_t payload_len;
    lunaq_header *headers;
    size_t header_count;
    int64_t attempt, attempts, deadline_ms;

    struct lunaq_group *batch; /* an aggregator's; NULL: a task's run */

    /* what the handler said */
    enum lq_verdict_kind kind; /* 0 = nothing yet */
    int64_t delay_ms;
    const char *error_kind;
    char *why;
    char *result;
    size_t result_len;
    bool over;          /* it returned: nothing of this changes any more */
    lq_verdict verdict; /* made then; points into the above */

    /* its result on the way to the broker: see callback_write.c; guarded by
     * the pool's lock */
    enum { LQ_WRITE_NONE, LQ_WRITE_POSTED, LQ_WRITE_SENT } write;
    lq_post write_post;
    lq_op_result write_op;
    int write_code;
};

/** Copies what a handler may read.  NULL when out of memory. */
lunaq_run *lq_callback_run_new(lq_run *run);
void lq_callback_run_free(lunaq_run *r);
/** Turns what the handler returned, and said before, into r->verdict. */
void lq_callback_run_returned(lunaq_run *r, int code);

/* callback_around.c */

/** Calls the middleware and, inside, the handler; what it returned. */
int lq_callback_call(lunaq_run *r);
/** Asks the server's hooks about r->verdict, on the thread that ran it. */
void lq_callback_judge(lunaq_run *r);
/** Tells the server's on_archive of an archived task: a lunaq_handler_fn. */
lunaq_handler_fn lq_callback_tell_archived;

#endif
