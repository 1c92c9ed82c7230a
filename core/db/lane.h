/* A lane: one thread that does blocking jobs in order, so that no loop has to.
 *
 * The thread starts with the first job.  A lane that is freed while a job
 * blocks (a cancel request to a host that does not answer) waits a second for
 * it and then lets the thread end by itself.
 */
#ifndef LQ_DB_LANE_H
#define LQ_DB_LANE_H

#include "base/error.h"
#include "base/list.h"

typedef struct lq_lane lq_lane;

typedef struct lq_lane_job {
    lq_list node;
    void (*run)(struct lq_lane_job *job);  /* on the thread; frees the job */
    void (*drop)(struct lq_lane_job *job); /* it will not run; frees the job */
} lq_lane_job;

/** limit: jobs that may wait. */
lq_lane *lq_lane_new(size_t limit);
/** Takes the job; false (the job was dropped) when too many wait or no thread
 *  could be started.  Any thread. */
bool lq_lane_take(lq_lane *lane, lq_lane_job *job);
void lq_lane_free(lq_lane *lane); /* NULL is fine */

struct lq_db_helper {
    lq_lane *cancel;
    lq_lane *resolve;
    struct lq_line *writers; /* of a SQLite file; line.h */
};

#endif
