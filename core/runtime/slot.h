/* A slot: the place in which one task runs, from taken to settled.
 *
 *              PARKED (parked.h): waits for a place under its handler's cap
 *              ▲    │
 *   FREE ──take──► RUNNING ──run ends──► READY ──step──► SENT ──reply──► FREE
 *                                          ▲               │
 *                                          └── no reply ───┘
 */
#ifndef LQ_SLOT_H
#define LQ_SLOT_H

#include "runtime/held.h"
#include "runtime/runtime.h"

enum lq_slot_state {
    LQ_SLOT_FREE,
    LQ_SLOT_PARKED,
    LQ_SLOT_RUNNING,
    LQ_SLOT_READY,
    LQ_SLOT_SENT
};

typedef struct lq_slot {
    lq_run run; /* first: a run is its slot */
    struct lq_worker *worker;
    enum lq_slot_state state;
    lq_list node; /* in the worker's list of the state; RUNNING: in none */
    lq_list age;  /* in its queue's list of tasks in hand */
    lq_held held;
    size_t queue;
    char *bytes; /* the id, then the message */
    size_t bytes_cap, msg_len;
    uint64_t seq;              /* in the order of taking */
    bool suspect;              /* counted among the process's suspects */
    bool extra;                /* see worker_slots.h */
    bool placed;               /* has a place under its queue's cap */
    lq_handler_cap *cap;       /* has a place under it; NULL = none */
    lq_handler_cap *waits_for; /* PARKED */
    uint32_t cap_max;
    int32_t crashes; /* as it was taken */
    enum lq_cancel cancel;
    lq_buf reason; /* of the cancel */
    lq_runner *runner;
    lq_timer *deadline;
    int64_t started_ns;
    lq_outcome outcome;
    char error_kind[32]; /* of a run that went wrong */
    lq_buf msg;
    lq_buf result;
} lq_slot;

void lq_slot_init(lq_slot *s, struct lq_worker *w);
void lq_slot_release(lq_slot *s);
/** Runs a task that was taken.  The slot is FREE and off its list; it becomes
 *  RUNNING, or READY at once (undecodable, no handler, too late, handed back).
 */
void lq_slot_run(lq_slot *s, const lq_taken *taken, size_t queue,
                 uint32_t token);
/** PARKED no longer, it has its places: runs it, its time begins now. */
void lq_slot_start_parked(lq_slot *s);
/** Tells its run to end.  RUNNING or PARKED only; else nothing happens. */
void lq_slot_cancel(lq_slot *s, enum lq_cancel why, lq_str reason);
/** The broker settled it, or nothing is to be settled: FREE again. */
void lq_slot_settled(lq_slot *s);

#endif
