/* Internal runs: hooks of handler files, run on a worker without a slot.
 *
 *   control thread                         a worker's thread
 *   lq_internal_submit ──► waiting ──────► inbox ─► waiting ─► running
 *           done ◄──────────── post ◄───────────────────────── ended
 *                                          lq_internal_start ─► (the same)
 *                                          done ◄───────────── ended
 *
 * For whoever starts one:
 *
 *     struct mine { lq_internal_run r; …in and out… } *m = …;
 *     m->r.run.kind = LQ_RUN_AGGREGATE;      // which function
 *     m->r.run.task.type = …;                // of which handler
 *     m->r.run.in = &m->in;  m->r.run.out = &m->out;
 *     m->r.timeout_ms = 30000;
 *     m->r.done = mine_done;
 *     lq_internal_submit(&control->internal, &m->r);
 *
 * All memory is the starter's and stays until done(), which comes exactly once.
 * What a verdict means is said in runner/runner.h, "Hooks".
 */
#ifndef LQ_INTERNAL_RUN_H
#define LQ_INTERNAL_RUN_H

#include "loop/loop.h"
#include "runner/runner.h"

#include <pthread.h>

struct lq_control;
struct lq_worker;

typedef struct lq_internal_run {
    /* The starter's, all else zeroed: */
    lq_run run;         /* first; kind, task, in, out */
    int64_t timeout_ms; /* how long it may take, waiting included; > 0 */
    /* verdict is borrowed for the call; r may be freed in it. */
    void (*done)(struct lq_internal_run *r, const lq_verdict *verdict);
    void *ud;

    /* Not the starter's: */
    struct lq_internal_service *service; /* NULL: started on its worker */
    struct lq_internal_lane *lane;
    lq_list node;      /* waiting, in an inbox, or running */
    lq_list handed;    /* the service's list of what workers have */
    int64_t until_ms;  /* monotonic */
    lq_runner *runner; /* while it runs */
    lq_timer *deadline;
    lq_post post;
    lq_verdict verdict; /* on its way back */
    lq_buf text;
    char error_kind[48];
} lq_internal_run;

/* ---- on the control thread ----------------------------------------------- */

typedef struct lq_internal_service {
    struct lq_control *control;
    lq_list waiting; /* for a worker */
    lq_list handed;
    size_t handed_count;
    size_t next_worker;
    lq_timer *look; /* for a worker that takes nothing */
} lq_internal_service;

int lq_internal_service_start(lq_internal_service *s, struct lq_control *c,
                              lunaq_error *err);
/** What still waits is ended.  The workers have stopped. */
void lq_internal_service_stop(lq_internal_service *s);

/** Hands a run to a worker, in turn, or soon when all have enough of them.
 *  done() comes on the control thread, never from inside, and also while the
 *  server stops (then with LQ_ENDED, and control->link_up may be false). */
void lq_internal_submit(lq_internal_service *s, lq_internal_run *r);

/* ---- on a worker's thread ------------------------------------------------ */

typedef struct lq_internal_lane {
    struct lq_worker *worker;
    lq_list waiting, running;
    size_t waiting_count, running_count;
    bool ending; /* nothing begins any more */
    lq_post post;
    pthread_mutex_t mutex; /* guards what follows */
    lq_list inbox;
    bool posted, closed;
} lq_internal_lane;

void lq_internal_lane_init(lq_internal_lane *l, struct lq_worker *w);
void lq_internal_lane_release(lq_internal_lane *l);

/** Starts a run on this worker.  done() comes on this thread, perhaps inside.
 *  LQ_FAILED with the kind "busy" when too many wait already. */
void lq_internal_start(lq_internal_lane *l, lq_internal_run *r);
/** Nothing waits or runs here. */
bool lq_internal_idle(const lq_internal_lane *l);
/** The server stops: ends what waits and runs, and what comes. */
void lq_internal_end_all(lq_internal_lane *l);
/** The thread ends, the runners are gone: ends what is left, and nothing comes
 *  after. */
void lq_internal_close(lq_internal_lane *l);

#endif
