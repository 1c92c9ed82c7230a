/* batch: the tasks of a group as one task.
 *
 * The batch has the type of its oldest task and that task's limits, a header
 * `lunaq-group` with the group's name, and this payload:
 *
 *     {"group":"user:42","tasks":[
 *       {"id":"…","type":"…","headers":{"k":"v"},"payload":{"n":1}}, …]}
 *
 * A payload that is not JSON is there as "payload_base64"; none at all is left
 * out, as are headers.
 */
#ifndef LQ_BATCH_H
#define LQ_BATCH_H

#include "base/alloc.h"
#include "task/task.h"

#define LQ_BATCH_HEADER "lunaq-group"

/** Makes e the batch of tasks[at[0]], tasks[at[1]], …; n > 0.  is_json: whether
 *  bytes can stand in JSON as they are.  All it points to lives in mem: e is
 *  not to be released.  LUNAQ_EFULL: the payload would be too long. */
int lq_batch_make(lq_enqueue *e, lq_str queue, lq_str group,
                  const lq_task *tasks, const size_t *at, size_t n,
                  bool (*is_json)(lq_str text), lq_arena *mem, int64_t now_ms,
                  lunaq_error *err);

#endif
