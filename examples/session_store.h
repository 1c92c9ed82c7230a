/* The sessions and page visits of the example, in PostgreSQL or SQLite.
 *
 * A store belongs to one thread.  It connects again by itself: a call made
 * while the database is away answers STORE_DOWN quickly, the next ones try
 * again.  Statements are limited to five seconds. */
#ifndef SESSION_STORE_H
#define SESSION_STORE_H

enum store_result {
    STORE_OK = 0,
    STORE_NOT_FOUND, /* no such session */
    STORE_CONFLICT,  /* its status does not allow this */
    STORE_NO_TABLES, /* the migrations have not been applied yet */
    STORE_DOWN,      /* cannot be reached; was logged */
    STORE_FAILED     /* a statement failed otherwise; was logged */
};

enum { STORE_ID_SIZE = 37, STORE_STATUS_SIZE = 32, STORE_TIME_SIZE = 40 };

struct store_session {
    char id[STORE_ID_SIZE];
    char status[STORE_STATUS_SIZE];
    char created_at[STORE_TIME_SIZE];
    char updated_at[STORE_TIME_SIZE];
    long visits;
};

struct store;

/** Opens a store on sqlite:path or a libpq connection string or URL, and
 *  connects.  NULL when that fails; the reason was logged. */
struct store *store_open(const char *database_url);
void store_close(struct store *store);

/** One statement that needs no table. */
enum store_result store_ping(struct store *store);
/** A new session in status recording. */
enum store_result store_create(struct store *store, struct store_session *out);
/** A page visited.  STORE_CONFLICT unless the session is recording or paused;
 *  out then tells its status. */
enum store_result store_visit(struct store *store, const char *id,
                              const char *url, struct store_session *out);
enum store_result store_show(struct store *store, const char *id,
                             struct store_session *out);
/** recording or paused becomes processing; a session that is processing stays
 *  so, which is how a stop whose enqueue failed is repeated.  STORE_CONFLICT
 *  in any other status; out then tells which. */
enum store_result store_stop(struct store *store, const char *id,
                             struct store_session *out);

#endif
