/* One option of the table that a handler file returns → a C value.
 *
 * A reader knows the file, so that an error says where: "file:line: what is
 * wrong".  Everything here leaves the Lua stack as it was unless it says
 * otherwise, and nothing raises.
 */
#ifndef LQ_LUA_OPTION_H
#define LQ_LUA_OPTION_H

#include "lua/snapshot.h"

#include <lua.h>

#define LQ_OPTION_LIST_MAX 64

typedef struct lq_lua_reader {
    lua_State *L;
    int table; /* index of the returned table; 0: a bare function */
    lq_lua_snapshot *s;
    lq_lua_spec *spec;
    lq_log *log;
    lunaq_error *err;
} lq_lua_reader;

/** Puts "file:line: " before the message in *r->err, by the line where
 *  `option =` stands first.  Returns LUNAQ_EHANDLER. */
int lq_lua_option_fail(lq_lua_reader *r, const char *option);
/** lq_lua_wrong(), with the place. */
int lq_lua_option_wrong(lq_lua_reader *r, const char *option,
                        const char *expected);

/** Pushes the member of the returned table; returns its Lua type. */
int lq_lua_option_get(lq_lua_reader *r, const char *name);

/* The value on top of the stack, which stays: */

/** A table that has no other keys than `known` (NULL-ended). */
int lq_lua_option_members(lq_lua_reader *r, const char *option,
                          const char *const *known);

/** A table that has no other keys than 1…n. */
int lq_lua_option_only_list(lq_lua_reader *r, const char *option);

/** A string without zero bytes, copied into the snapshot. */
int lq_lua_option_copy(lq_lua_reader *r, const char *option, const char **out);
/** A list of 1 to LQ_OPTION_LIST_MAX strings. */
int lq_lua_option_list(lq_lua_reader *r, const char *option, const char ***out,
                       size_t *count);
/** "90s", "5m", or a number of seconds. */
int lq_lua_option_duration_here(lq_lua_reader *r, const char *option,
                                int64_t *ms);

/* A member of the returned table; *out stays as it is when there is none: */

int lq_lua_option_text(lq_lua_reader *r, const char *name, const char **out);
int lq_lua_option_duration(lq_lua_reader *r, const char *name, int64_t *out);
/** A whole number from 0 on. */
int lq_lua_option_count(lq_lua_reader *r, const char *name, int64_t *out);

/* Groups of options in files of their own; errors as lq_lua_handler_read(): */

/** handler_types.c: fills spec->types and enters them in r->s. */
int lq_lua_handler_types(lq_lua_reader *r);
/** handler_group.c: `group`. */
int lq_lua_handler_group(lq_lua_reader *r);
/** schedule.c: reads what concerns periodic entries beside `cron`. */
int lq_lua_handler_schedule(lq_lua_reader *r);
/** handler_cron.c: adds the entries of `cron` to r->s. */
int lq_lua_handler_crons(lq_lua_reader *r);

#endif
