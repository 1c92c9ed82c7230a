/* The bytes of a handler folder and of the lib/ folder beside it, read once. */
#ifndef LQ_LUA_SOURCE_H
#define LQ_LUA_SOURCE_H

#include "base/alloc.h"
#include "base/error.h"

#define LQ_LUA_FILE_MAX ((size_t)1024 * 1024) /* bytes in one file */
#define LQ_LUA_FILES_MAX ((size_t)2000)

typedef struct lq_lua_file {
    const char *name; /* "session/process.lua"; "lib/x.lua" */
    lq_str text;
    char hash[41]; /* of the text, hex */
    bool is_lib;
} lq_lua_file;

typedef struct lq_lua_source {
    lq_arena mem;
    lq_lua_file *files; /* sorted by name */
    size_t count;
} lq_lua_source; /* born as {0} */

/** Reads every *.lua below folder, and below lib/ beside it, that is not
 *  hidden and no test.  LUNAQ_EIO names what cannot be read; LUNAQ_EHANDLER: a
 *  file is too large, there are too many, or a link leads out of the project
 *  (the folder that holds handlers/ and lib/). */
int lq_lua_source_read(lq_lua_source *out, const char *folder,
                       lunaq_error *err);
void lq_lua_source_release(lq_lua_source *s);
const lq_lua_file *lq_lua_source_find(const lq_lua_source *s, const char *name);

/** A number that changes when a file's size, time or name does; reads no file.
 *  0 when the folder cannot be read. */
uint64_t lq_lua_source_stamp(const char *folder);

#endif
