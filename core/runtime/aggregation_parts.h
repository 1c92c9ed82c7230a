/* parts of an aggregation: its state, and the shares that handlers have in its
 * set, as the files of it see them. */
#ifndef LQ_AGGREGATION_PARTS_H
#define LQ_AGGREGATION_PARTS_H

#include "runtime/aggregation.h"
#include "runtime/control.h"
#include "task/id.h"

/* A handler's share of the set. */
typedef struct lq_aggregation_part {
    lq_internal_run run; /* first */
    lq_aggregation *g;
    uint64_t owner;
    bool aggregates;
    bool failed;      /* its tasks stay in the group */
    lq_enqueue *item; /* what takes their place; NULL: nothing yet */
    size_t *at;       /* its tasks, as indexes */
    size_t count;
    lq_task *tasks; /* the same, in a row; for its function */
    lq_aggregate_in in;
    lq_aggregate_out out;
} lq_aggregation_part;

enum step { TAKE, ASK, FINISH, BACK };

struct lq_aggregation {
    lq_list node;
    struct lq_aggregator *a;
    size_t queue;
    lq_str group;
    lq_group_rule rule;
    int64_t failures;
    char set_id[LQ_UUID_LEN + 1];
    enum step step;
    lq_timer *timer; /* ASK: extends the set; FINISH, BACK: again */
    lq_op_group_take take;
    lq_op_group_extend extend;
    lq_op_group_finish finish;
    lq_op_group_back back;
    bool extending, unknown, renamed;
    bool stopping; /* the server does */
    bool broken;   /* something that concerns all of the set */
    bool over;     /* to be freed when the extension's answer came */

    lq_arena mem; /* what follows */
    lq_task *tasks;
    size_t task_count;
    lq_aggregation_part **parts;
    size_t part_count, asking;
    lq_enqueue **items;
    size_t item_count;
    lq_str *alone;
    size_t alone_count;
    lq_str *left; /* of parts that failed */
    size_t left_count;
    char error[512]; /* the first of them */
};

/** Whose each task of the set is; what cannot be read, and what nobody takes in
 *  groups, runs by itself.  False: out of memory. */
bool lq_aggregation_share_out(lq_aggregation *g);
/** Its tasks run by themselves. */
void lq_aggregation_leave_alone(lq_aggregation *g,
                                const lq_aggregation_part *p);
/** All of a part in one task; each by itself when that would be too long. */
int lq_aggregation_batch(lq_aggregation *g, lq_aggregation_part *p,
                         lunaq_error *err);
/** Fills g->items and g->left: what becomes of each part. */
void lq_aggregation_collect(lq_aggregation *g);
/** Parts whose item the broker refused have failed; false: there is none. */
bool lq_aggregation_refused(lq_aggregation *g);

#endif
