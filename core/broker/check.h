/* Looking a broker over for what must never be, and mending it.
 *
 * A check is a walk in parts, each a bounded piece of the broker's time, while
 * servers work: what moves meanwhile is looked at once more, atomically, before
 * it is called a fault.  Repair loses nothing: a task that can run is put where
 * it belongs, one that cannot be read is archived with its bytes.
 */
#ifndef LQ_BROKER_CHECK_H
#define LQ_BROKER_CHECK_H

#include "base/map.h"
#include "broker/broker.h"

/* X(NAME, "kind", "what is wrong", "what repair does" or NULL when only a
 * person can).  In the texts %i stands for the task's id or the key, %d for
 * the detail.  A kind is part of the JSON output: it never changes. */
#define LQ_FAULTS(X)                                                           \
    X(DANGLING, "dangling", "task %i is in %d and does not exist",             \
      "its id is taken out")                                                   \
    X(ORPHAN, "orphan", "task %i says %d and is nowhere",                      \
      "it is put back where it says it is")                                    \
    X(TWICE, "twice", "task %i is more than once in %d", "it stays once")      \
    X(TWO_PLACES, "two-places", "task %i is in %d at once",                    \
      "it stays where it says it is")                                          \
    X(WRONG_STATE, "wrong-state", "task %i is in %d", "it says where it is")   \
    X(NO_LEASE, "no-lease", "task %i is active without a lease",               \
      "it gets one that ends in 30 s, then it is recovered")                   \
    X(LEASE_ONLY, "lease-only", "task %i has a lease and %d",                  \
      "it becomes active, or loses the lease")                                 \
    X(NO_MESSAGE, "no-message", "task %i has no message",                      \
      "what is left of it is archived; nothing left: its key is deleted")      \
    X(UNDECODABLE, "undecodable", "task %i cannot be read: %d",                \
      "it is archived as " LQ_TYPE_UNDECODABLE " with its bytes")              \
    X(WRONG_NAME, "wrong-name", "task %i calls itself %d in its message",      \
      "its message gets its id and queue")                                     \
    X(TASK_TYPE, "task-type", "the key of task %i is a %d, not a hash",        \
      "it is archived as " LQ_TYPE_UNDECODABLE " with its bytes")              \
    X(SCORE, "score", "task %i is in %d: Asynq reads whole seconds only",      \
      "it is rounded up")                                                      \
    X(GROUP_EMPTY, "group-empty", "group %i is announced and has no tasks",    \
      "its name is taken out")                                                 \
    X(GROUP_UNNAMED, "group-unnamed", "group %i has tasks and no name",        \
      "its name is put in")                                                    \
    X(SET_MISSING, "set-missing", "aggregation set %i is listed and empty",    \
      "it is taken out")                                                       \
    X(SET_STALE, "set-stale", "aggregation set %i ended %d s ago",             \
      "its tasks go back to their group")                                      \
    X(SET_UNOWNED, "set-unowned", "aggregation set %i is not listed",          \
      "its tasks go back to their group")                                      \
    X(PLACE, "place", "task %i shares its place in line with another",         \
      "it goes behind the others")                                             \
    X(LOCK_DEAD, "lock-dead", "lock %i is held by task %d, which is gone",     \
      "it is released")                                                        \
    X(LOCK_FOREVER, "lock-forever", "lock %i never ends", "it ends in a day")  \
    X(COUNTER, "counter", "counter %i is %d", "it is corrected")               \
    X(KEY_TYPE, "key-type", "key %i is a %d", NULL)                            \
    X(QUEUE_UNKNOWN, "queue-unknown", "queue %i has keys and is not listed",   \
      "it is listed")                                                          \
    X(FILE, "file", "the file is damaged: %d", NULL)                           \
    X(NO_QUEUE, "no-queue", "%d of a queue that is not there",                 \
      "tasks get a queue of their message's name, the rest is deleted")

typedef enum lq_fault_kind {
    LQ_FAULT_NONE,
#define LQ_FAULT_ENUM(name, kind, text, cure) LQ_FAULT_##name,
    LQ_FAULTS(LQ_FAULT_ENUM)
#undef LQ_FAULT_ENUM
        LQ_FAULT_KINDS
} lq_fault_kind;

typedef struct lq_fault {
    lq_fault_kind kind;
    lq_str id; /* a task, group, key …; in op.mem as all of it */
    lq_str detail;
    bool repaired;
} lq_fault;

/** "dangling", …; NULL when there is no such kind. */
const char *lq_fault_name(lq_fault_kind kind);
/** The kind of a name; LQ_FAULT_NONE when there is none. */
lq_fault_kind lq_fault_from(lq_str name);
/** What is wrong, in one line, cut off at size. */
void lq_fault_text(const lq_fault *f, char *out, size_t size);
/** What repair does about it; NULL: nothing. */
const char *lq_fault_cure(lq_fault_kind kind);

/* What a walk remembers from part to part: the broker's.  Born as {0}. */
typedef struct lq_check_memo {
    int phase;
    char cursor[64];
    size_t at;     /* in what the phase goes through */
    lq_map places; /* task id → bits: where it was met, what it says */
    lq_arena mem;  /* what the walk has to keep */
    void *own;     /* in mem */
} lq_check_memo;

void lq_check_memo_release(lq_check_memo *m);

/* One part of a check.  Repeat with the same memo while `more`. */
typedef struct lq_op_check {
    lq_op op;
    lq_str queue; /* "": what belongs to no queue */
    bool repair;
    lq_check_memo *memo;
    lq_fault *faults; /* result: of this part */
    size_t count;
    int64_t tasks; /* result: met in this part */
    bool more;     /* result: call again */
} lq_op_check;

/** Adds a fault; copies id and detail.  False when out of memory. */
bool lq_check_add(lq_op_check *op, lq_fault_kind kind, lq_str id, lq_str detail,
                  bool repaired);

#endif
