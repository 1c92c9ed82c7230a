/* Tasks as the broker holds them, made readable: rows → lunaq_task_list. */
#ifndef LQ_CLIENT_TASK_ROWS_H
#define LQ_CLIENT_TASK_ROWS_H

#include "broker/inspect.h"
#include "client/list.h"

struct lunaq_task_list {
    LQ_LIST(lunaq_task_info);
};

/** An empty list; NULL when out of memory. */
lunaq_task_list *lq_task_list_new(void);
/** Adds what rows hold; copies everything.  A message that cannot be decoded
 *  becomes a task of type LQ_TYPE_UNDECODABLE whose payload are its bytes. */
int lq_task_list_add(lunaq_task_list *list, const lq_task_row *rows,
                     size_t count, lunaq_error *err);

#endif
