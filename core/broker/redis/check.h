/* check: what a walk over a queue has met, and what of it does not fit. */
#ifndef LQ_REDIS_CHECK_H
#define LQ_REDIS_CHECK_H

#include "broker/check.h"

typedef struct lq_walk_item {
    lq_str id;
    lq_str hint;   /* suspects: a group's or set's key, or empty; fixes: how the
                      task is there: msg, none, raw */
    lq_str first;  /* suspects: another one */
    lq_str old;    /* fixes: its bytes */
    lq_str fresh;  /* fixes: the message it gets */
    lq_str detail; /* fixes: of the fault */
    lq_fault_kind kind; /* fixes: told when it was made; NONE: told already */
    bool several;       /* suspects: met in more than one place */
    bool wanted;        /* suspects: its message is to be read */
    bool doubtful;      /* suspects: pending, and no task: read again */
    bool archive;       /* fixes */
} lq_walk_item;

typedef struct lq_walk_list {
    lq_walk_item *items;
    size_t count, room;
} lq_walk_list;

/* In the memo's own.  All memory is the memo's arena. */
typedef struct lq_walk {
    lq_walk_list groups; /* keys of groups and sets */
    lq_walk_list suspects, fixes;
    lq_str last;     /* of a list's page */
    size_t unwalked; /* groups from here on, + 1, were found by the scan */
    size_t doubtful; /* how many suspects are */
    bool scanned;
    uint16_t *nodes; /* of a cluster: a slot of each that has any */
    size_t node_count;
} lq_walk;

/* Those that return bool: false when out of memory. */

/** A task's id was met in a list or set, or in the group of this number, from 1
 *  on; 0 = in none. */
bool lq_walk_met(lq_check_memo *m, lq_str id, lunaq_state state, size_t group);
bool lq_walk_leased(lq_check_memo *m, lq_str id);
/** A group's or set's key is to be walked. */
bool lq_walk_group(lq_check_memo *m, lq_str key);
/** A task's key was met.  form: 0 a hash with a message, 1 without, 2 none;
 *  msg empty: it was not read. */
bool lq_walk_task(lq_op_check *op, lq_str id, lq_str state, int64_t form,
                  lq_str group, lq_str msg);
/** Finds the suspects, after all was met. */
bool lq_walk_judge(lq_check_memo *m);
/** A pending task's id was met again. */
void lq_walk_again(lq_check_memo *m, lq_str id);
/** Drops the doubtful suspects that were not met again. */
void lq_walk_settle(lq_check_memo *m);
/** A suspect's message: a fault when it cannot be read or has a wrong name.
 *  Returns a code with its message in op->op.err. */
int lq_walk_message(lq_op_check *op, lq_str id, lq_str how, lq_str bytes);
bool lq_walk_add(lq_check_memo *m, lq_walk_list *list, lq_str id);

#endif
