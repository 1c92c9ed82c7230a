/* keys: every key name in one place.
 *
 * Asynq's keys (docs: its Redis format) and lunaq's own, which begin with
 * "lunaq:".  All keys of a queue share the tag {queue}, so that a script over
 * one queue runs in one slot of a cluster.
 */
#ifndef LQ_KEYS_H
#define LQ_KEYS_H

#include "redis/ops.h"

/* Global keys. */
#define LQ_KEY_QUEUES "asynq:queues"
#define LQ_KEY_SERVERS "asynq:servers"
#define LQ_KEY_WORKERS "asynq:workers"
#define LQ_KEY_SCHEDULERS "asynq:schedulers"
#define LQ_KEY_OWN_SERVERS "lunaq:servers:"
#define LQ_CHANNEL_CANCEL "asynq:cancel"
#define LQ_CHANNEL_OWN "lunaq:cancel"

/** Appends "asynq:{queue}:<rest>" as an argument: lq_cmd_queue(c, q,
 *  "pending"), lq_cmd_queue(c, q, "t:") for the prefix of task hashes. */
void lq_cmd_queue(lq_cmd *c, lq_str queue, const char *rest);
/** Appends "asynq:{queue}:<rest><more>": a task's hash, a group. */
void lq_cmd_queue_of(lq_cmd *c, lq_str queue, const char *rest, lq_str more);
/** Appends "lunaq:{queue}:<rest>". */
void lq_cmd_own(lq_cmd *c, lq_str queue, const char *rest);
/** Appends "<head>{<host>:<pid>:<server_id>}": asynq:servers:, asynq:workers:,
 *  lunaq:servers:. */
void lq_cmd_server(lq_cmd *c, const char *head, lq_str host, int32_t pid,
                   lq_str server_id);
/** Appends "lunaq:token:<token>". */
void lq_cmd_token(lq_cmd *c, uint32_t token);
/** Appends "asynq:{queue}:<name>:2026-01-31", the UTC day of now_ms. */
void lq_cmd_day(lq_cmd *c, lq_str queue, const char *name, int64_t now_ms);

#endif
