/* The module `db` of handlers. */
#ifndef LQ_MOD_DB_H
#define LQ_MOD_DB_H

#include <lua.h>

struct lq_db;

/** The module: query one value exec each tx, their try_ twins, null.  Can be
 *  opened in a state without a pool (the loader's): a call then says that no
 *  database is configured. */
int luaopen_lunaq_db(lua_State *L);

/** Gives the state its pool; borrowed until the state closes.  The owner opens
 *  it on the worker's loop before handlers run (lq_db_open), closes the state
 *  and then the pool (lq_db_close).  NULL: no database is configured. */
void lq_lua_db_attach(lua_State *L, struct lq_db *db);

#endif
