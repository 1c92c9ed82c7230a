/* group: operations on groups of tasks, and on sets of them that are being
 * aggregated.
 *
 * A task with a group waits in it.  When the group is due its oldest tasks are
 * taken out of it as a set, which has an id of its own and an end; whoever
 * holds the set turns its tasks into others, which are enqueued in the move
 * that deletes the set (finish).  A set whose end came before is put back
 * (reclaim), by anybody; its holder then hears LUNAQ_ELEASE and must not
 * enqueue what it made.  So each task is aggregated once, unless Asynq's
 * servers do it, which enqueue first and delete later.
 */
#ifndef LQ_GROUP_H
#define LQ_GROUP_H

#include "broker/broker.h"

#define LQ_GROUP_SET_TASKS 10000 /* at most in one set */
#define LQ_GROUP_SET_BYTES                                                     \
    ((int64_t)8 << 20)          /* of messages; at least 1 task                \
                                 */
#define LQ_GROUP_GRACE_MS 60000 /* where nobody says it */

/* When a group is due, by Asynq's rules: it has max_size tasks, or its oldest
 * waits max_delay_ms, or the last one came grace_ms ago. */
typedef struct lq_group_rule {
    int64_t grace_ms;     /* >= 1000 */
    int64_t max_delay_ms; /* 0 = none */
    int64_t max_size;     /* 0 = none */
} lq_group_rule;

typedef struct lq_group_row {
    lq_str name;
    lq_str type;       /* of its oldest task; empty when that is unreadable */
    int64_t size;      /* tasks that wait */
    int64_t oldest_ms; /* how long its oldest has waited, */
    int64_t newest_ms; /* … its newest */
    int64_t failures;  /* of aggregating it, in a row */
    int64_t retry_ms;  /* until it is tried again after them; 0 = now */
    lq_str error;      /* the last of them */
    lq_str types;      /* of its 16 oldest tasks, a NUL between them */
} lq_group_row;

typedef struct lq_group_set {
    lq_str group, id;
    int64_t size;
    int64_t left_ms; /* until its end; <= 0: it can be reclaimed */
} lq_group_set;

/* Lists a queue's groups, a part at a time, and with the first part all its
 * sets (at most LQ_BATCH_MAX).  Reads only.  A group may come twice. */
typedef struct lq_op_groups {
    lq_op op;
    lq_str queue;
    char cursor[LUNAQ_NAME_MAX + 8]; /* in: "" to begin; out: where to go on,
                                        "" at the end */
    lq_group_row *rows;              /* results, in op.mem */
    size_t count;
    lq_group_set *sets;
    size_t set_count;
} lq_op_groups;

/* Takes a set out of a group if it is due, and not waiting after failures. */
typedef struct lq_op_group_take {
    lq_op op;
    lq_str queue, group;
    lq_str set_id; /* a new UUID */
    lq_group_rule rule;
    int64_t ttl_ms; /* of the set */
    lq_str *ids;    /* results, in op.mem, oldest first; none: not due */
    lq_str *msgs;
    size_t count;
    int64_t left; /* what the group still holds */
} lq_op_group_take;

/* Enqueues items, makes the tasks of `alone` pending by themselves, puts those
 * of `back` back into the group, deletes the set's other tasks with their
 * locks, counts these as processed and deletes the set: all or nothing.  With
 * `back` it counts as a failure, as in group_back.  rc ELEASE: the set is not
 * there any more; EEXIST, EDUPLICATE: an item was refused, as items[i]->code
 * says. */
typedef struct lq_op_group_finish {
    lq_op op;
    lq_str queue, group, set_id;
    lq_enqueue **items; /* their queue is `queue` */
    size_t count;       /* at most LQ_BATCH_MAX */
    const lq_str *alone;
    size_t alone_count;
    int64_t now_ms; /* the caller's clock, for the names of day counters */
    const lq_str *back;
    size_t back_count;
    lq_str error; /* with `back`: why, and when they are tried again */
    int64_t retry_ms;
} lq_op_group_finish;

/* Puts a set's tasks back into its group.  error p NULL: nothing went wrong;
 * else it counts as a failure, and the group is not taken for retry_ms.  rc
 * ELEASE: the set is not there any more. */
typedef struct lq_op_group_back {
    lq_op op;
    lq_str queue, group, set_id;
    lq_str error;
    int64_t retry_ms;
} lq_op_group_back;

/* Lets a set end in ttl_ms from now.  rc ELEASE: it is not there any more. */
typedef struct lq_op_group_extend {
    lq_op op;
    lq_str queue, group, set_id;
    int64_t ttl_ms;
} lq_op_group_extend;

/* Puts sets whose end has come back into their groups, at most LQ_BATCH_MAX,
 * and forgets the failures of groups that have no tasks any more.
 * rc EREPLY: a key of a group has a wrong type, and the tasks of its set stay
 * where they are; the others were put back, and are in the results. */
typedef struct lq_op_group_reclaim {
    lq_op op;
    lq_str queue;
    int64_t sets, tasks; /* results */
} lq_op_group_reclaim;

/** Walks row->types: *type becomes the next of *rest, which is shortened; false
 *  at the end. */
bool lq_group_next_type(lq_str *rest, lq_str *type);
lq_str lq_group_first_type(lq_str types);

/** When a group that looks like this is due by the rule: milliseconds from now,
 *  0 = it is.  Asynq's clock has whole seconds: never early by it. */
int64_t lq_group_due_ms(const lq_group_row *row, const lq_group_rule *rule);

#endif
