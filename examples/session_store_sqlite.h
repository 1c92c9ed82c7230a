/* The store of session_store.h in a SQLite file; its functions do the same. */
#ifndef SESSION_STORE_SQLITE_H
#define SESSION_STORE_SQLITE_H

#include "session_store.h"

struct lite_store;

struct lite_store *lite_open(const char *path);
void lite_close(struct lite_store *s); /* NULL is fine */
enum store_result lite_ping(struct lite_store *s);
/** A new session with this id. */
enum store_result lite_create(struct lite_store *s, const char *id,
                              struct store_session *out);
enum store_result lite_visit(struct lite_store *s, const char *id,
                             const char *url, struct store_session *out);
enum store_result lite_show(struct lite_store *s, const char *id,
                            struct store_session *out);
enum store_result lite_stop(struct lite_store *s, const char *id,
                            struct store_session *out);

#endif
