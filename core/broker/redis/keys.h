/* keys: every key name in one place.
 *
 * Asynq's keys (docs: its Redis format) begin with "asynq:", lunaq's own with
 * "lunaq:".  An application with a prefix of its own, so that several share one
 * Redis, has "<prefix>:" and "<prefix>:lunaq:" instead.  All keys of a queue
 * share the tag {queue}, so that a script over one queue runs in one slot of a
 * cluster; a global key has a slot of its own.
 *
 * A command knows the prefix of its connection (lq_cmd.heads); scripts are
 * handed every key, or what it begins with.
 */
#ifndef LQ_KEYS_H
#define LQ_KEYS_H

#include "broker/url.h"
#include "redis/ops.h"

/* What keys begin with. */
struct lq_heads {
    char asynq[LQ_PREFIX_MAX + 4]; /* "asynq:{", the brace not for globals */
    char own[LQ_PREFIX_MAX + 12];  /* "lunaq:{" */
    size_t asynq_len, own_len;     /* with the brace */
};

/** The heads of a prefix that lq_prefix_check() (broker/url.h) let pass; NULL:
 *  the default. */
void lq_heads_init(lq_heads *h, const char *prefix);
/** Those of the default prefix. */
const lq_heads *lq_heads_default(void);

/** Appends "asynq:<name>", a global key or channel, or what such keys begin
 *  with: queues, servers, workers, schedulers, cancel. */
void lq_cmd_global(lq_cmd *c, const char *name);
/** Appends "asynq:<name><more>". */
void lq_cmd_global_of(lq_cmd *c, const char *name, lq_str more);
/** Appends "lunaq:<name>". */
void lq_cmd_own_global(lq_cmd *c, const char *name);
/** Appends "lunaq:<name><more>". */
void lq_cmd_own_global_of(lq_cmd *c, const char *name, lq_str more);
/** Appends "asynq:{queue}:<rest>" as an argument: lq_cmd_queue(c, q,
 *  "pending"), lq_cmd_queue(c, q, "t:") for the prefix of task hashes. */
void lq_cmd_queue(lq_cmd *c, lq_str queue, const char *rest);
/** Appends "asynq:{queue}:<rest><more>": a task's hash, a group. */
void lq_cmd_queue_of(lq_cmd *c, lq_str queue, const char *rest, lq_str more);
/** Appends "lunaq:{queue}:<rest>". */
void lq_cmd_own(lq_cmd *c, lq_str queue, const char *rest);
/** Appends "asynq:<kind>:{<host>:<pid>:<server_id>}", a server's record: kind
 *  servers, workers or schedulers. */
void lq_cmd_server(lq_cmd *c, const char *kind, lq_str host, int32_t pid,
                   lq_str server_id);
/** Appends "lunaq:servers:{<host>:<pid>:<server_id>}". */
void lq_cmd_own_server(lq_cmd *c, lq_str host, int32_t pid, lq_str server_id);
/** Appends "lunaq:orders:{<host>:<pid>:<server_id>}". */
void lq_cmd_own_order(lq_cmd *c, lq_str host, int32_t pid, lq_str server_id);
/** Appends "asynq:schedulers:{<scheduler_id>}". */
void lq_cmd_scheduler(lq_cmd *c, lq_str scheduler_id);
/** Appends "lunaq:token:<token>". */
void lq_cmd_token(lq_cmd *c, uint32_t token);
/** Appends "asynq:{queue}:<name>:2026-01-31", the UTC day of now_ms. */
void lq_cmd_day(lq_cmd *c, lq_str queue, const char *name, int64_t now_ms);
/** A name as it stands in a glob pattern, in out: twice LUNAQ_NAME_MAX bytes
 *  hold any. */
lq_str lq_glob_quote(lq_str name, char *out, size_t size);

/* A unique key stands in the task's message, with its prefix.  Outside this
 * layer it always has Asynq's own; what Redis holds has the application's.
 * What was read from Redis goes back as it is. */

/** Appends "<before><unique key>", the key with the application's prefix. */
void lq_cmd_lock(lq_cmd *c, const char *before, lq_str key);
/** Appends a task's message, its unique key so. */
void lq_cmd_task(lq_cmd *c, const lq_task *t);
/** Appends an encoded message, its unique key so; bytes that are no message
 *  stay as they are. */
void lq_cmd_msg(lq_cmd *c, lq_str msg);
/** Copies a unique key into op->mem, with Asynq's prefix.  False: out of
 *  memory. */
bool lq_keys_plain_lock(lq_op *op, lq_str key, lq_str *copy);
/** The same for the unique key in an encoded message. */
bool lq_keys_plain_msg(lq_op *op, lq_str msg, lq_str *copy);

#endif
