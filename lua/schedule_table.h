/* Entries from the application's database: the setting `schedules`. */
#ifndef LQ_LUA_SCHEDULE_TABLE_H
#define LQ_LUA_SCHEDULE_TABLE_H

#include "lua/snapshot.h"

#define LQ_SCHEDULES_TYPE "lunaq:schedules"

/** Makes the handler file, in mem, whose `schedule` reads them.  what: the name
 *  of a table ("app.schedules"), or a query.  LUNAQ_ECONFIG: neither. */
int lq_lua_schedule_table(lq_lua_file *out, const char *what, lq_arena *mem,
                          lunaq_error *err);

#endif
