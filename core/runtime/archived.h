/* Tells a handler that a task of its type was archived: its on_archive hook,
 * best effort, once the broker has it in the archive. */
#ifndef LQ_ARCHIVED_H
#define LQ_ARCHIVED_H

#include "base/str.h"

struct lq_control;
struct lq_worker;

/* msg is the message as it was archived, or as it was before; error its text if
 * that says more (p NULL: the message's own).  All is copied. */

/** On a worker's thread: of what that worker ran. */
void lq_archived_here(struct lq_worker *w, lq_str type, lq_str queue, lq_str id,
                      lq_str msg, lq_str error, const char *error_kind);
/** On the control thread: of what vanished with its holder, or was canceled
 *  while it waited. */
void lq_archived_away(struct lq_control *c, lq_str queue, lq_str id, lq_str msg,
                      lq_str error, const char *error_kind);

#endif
