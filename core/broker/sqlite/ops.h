/* ops: what the files of operations share.
 *
 * An operation is a function that works on the connection through statement.h.
 * It returns what op->rc shall be with the message in op->err; a failure that
 * the connection keeps (lq_sqlite_fault) comes before that.  When rc is not OK
 * everything it wrote is undone.  Its arguments have been initialised: results
 * are zero or the caller's. */
#ifndef LQ_SQLITE_OPS_H
#define LQ_SQLITE_OPS_H

#include "sqlite/apply.h"
#include "sqlite/statement.h"

typedef int lq_sqlite_op_fn(lq_sqlite *q, lq_op *op, int64_t now_ms);

/* Server operations: op_*.c */
lq_sqlite_op_fn lq_sqlite_ping, lq_sqlite_token, lq_sqlite_token_renew,
    lq_sqlite_enqueue, lq_sqlite_step, lq_sqlite_extend, lq_sqlite_reconcile,
    lq_sqlite_expired, lq_sqlite_forward, lq_sqlite_clean, lq_sqlite_repair,
    lq_sqlite_peek, lq_sqlite_heartbeat, lq_sqlite_goodbye, lq_sqlite_cron_fire,
    lq_sqlite_cron_publish, lq_sqlite_cron_record, lq_sqlite_cron_history,
    lq_sqlite_result, lq_sqlite_cancel, lq_sqlite_audit, lq_sqlite_untold;
/* op_group.c, op_group_end.c */
lq_sqlite_op_fn lq_sqlite_groups, lq_sqlite_group_take, lq_sqlite_group_finish,
    lq_sqlite_group_back, lq_sqlite_group_extend, lq_sqlite_group_reclaim;
/* Inspector operations: inspect_*.c */
lq_sqlite_op_fn lq_sqlite_move, lq_sqlite_move_all, lq_sqlite_task_get,
    lq_sqlite_task_list, lq_sqlite_task_scan, lq_sqlite_queues,
    lq_sqlite_queue_stats, lq_sqlite_queue_history, lq_sqlite_queue_pause,
    lq_sqlite_queue_remove, lq_sqlite_servers, lq_sqlite_crons,
    lq_sqlite_export, lq_sqlite_import, lq_sqlite_export_queue,
    lq_sqlite_import_queue, lq_sqlite_check, lq_sqlite_update, lq_sqlite_order,
    lq_sqlite_order_take, lq_sqlite_diagnose;

/** True when a part of a check writes nothing. */
bool lq_sqlite_check_reads(const lq_op *op);

/** The number of a queue: 0 when there is none of this name. */
int64_t lq_sqlite_queue(lq_sqlite *q, lq_str name);
/** The same, making it; 0 after a failure. */
int64_t lq_sqlite_queue_made(lq_sqlite *q, lq_str name);
/** Where the next new task goes among the pending: behind all of them. */
int64_t lq_sqlite_tail(lq_sqlite *q, int64_t queue);
/** Where the first of n tasks that are to run next goes: place, place + 1 …
 *  place + n - 1 are free and before all of them. */
int64_t lq_sqlite_front(lq_sqlite *q, int64_t queue, int64_t n);
/** A unique lock that is no longer this task's is left alone. */
void lq_sqlite_unlock(lq_sqlite *q, lq_str unique_key, lq_str id);
/** What the queue keeps, as it was said. */
void lq_sqlite_limits(lq_sqlite *q, int64_t queue, lq_queue_limits *out);
/** Deletes archived tasks that are too many or too old, the oldest first, with
 *  their locks, and counts them as dropped, also in *total (may be NULL).  True
 *  when it left some, so that one call stays short. */
bool lq_sqlite_trim_archive(lq_sqlite *q, int64_t queue, int64_t now_ms,
                            int64_t *total);
/** The same with completed tasks that are too many: those that were kept for
 *  the longest stay. */
bool lq_sqlite_trim_completed(lq_sqlite *q, int64_t queue, int64_t *total);
/** now_ms + ms, or as late as there is: a message may ask for any time. */
int64_t lq_sqlite_after(int64_t now_ms, int64_t ms);
/** Instants that Asynq keeps as whole seconds: rounded up, never early. */
int64_t lq_sqlite_whole_s(int64_t at_ms);
/** A buffer of the connection's, empty; one user at a time. */
lq_buf *lq_sqlite_scratch(lq_sqlite *q);

/** Enqueues one task; its result is in e->code. */
void lq_sqlite_enqueue_item(lq_sqlite *q, lq_sqlite_line *line, lq_enqueue *e,
                            int64_t now_ms);
/** Archives a task because somebody asked to cancel it.  msg: its message, as
 *  a view into anything but the scratch buffer.  ran: an attempt ended with it,
 *  and is told from those before by the time of its failure. */
void lq_sqlite_archive_canceled(lq_sqlite *q, int64_t seq, lq_str msg,
                                lq_str reason, bool ran, int64_t now_ms);

/** Notes that a task was archived that no server has in hand, so that one of
 *  them tells its handler. */
void lq_sqlite_note_untold(lq_sqlite *q, int64_t seq, int64_t now_ms);
/** Deletes notes of the queue that are too old or too many. */
void lq_sqlite_trim_untold(lq_sqlite *q, int64_t queue, int64_t now_ms);

/** Says after the commit that the queue has new pending tasks. */
void lq_sqlite_wake_queue(lq_sqlite *q, lq_str name);
/** Says after the commit that somebody asked to cancel the active task. */
void lq_sqlite_wake_cancel(lq_sqlite *q, lq_str id);

#endif
