/* lunaq: background jobs with a C core and Lua handlers.
 *
 * A task is a type, a payload and options.  Producers enqueue tasks into named
 * queues that live in a broker (a SQLite file, or Redis in Asynq's format);
 * servers take them out under a lease and run the handler of their type.
 * Delivery is at least once: a task whose holder died runs again, so handlers
 * must be idempotent.
 *
 *     lunaq_client *client = NULL;
 *     lunaq_error err = LUNAQ_ERROR_INIT;
 *     if (lunaq_client_open(&client, NULL, &err)) goto fail;
 *     lunaq_task task = LUNAQ_TASK_INIT;
 *     task.type = "email:welcome";
 *     task.payload = "{\"user_id\":7}";
 *     task.payload_len = strlen(task.payload);
 *     if (lunaq_client_enqueue(client, &task, NULL, &err)) goto fail;
 *     lunaq_client_close(client);
 *
 * Rules that hold everywhere:
 *  - A function that can fail returns LUNAQ_OK (0) or a code of this file and
 *    writes a message for people into *err.  err may be NULL.
 *  - What you pass in is borrowed for the call.  What comes back through a
 *    `T **out` is yours, and the matching _close or _free takes it back; both
 *    accept NULL.
 *  - Durations end in _ms, instants in _at (milliseconds since 1970, UTC),
 *    byte counts in _len.  Zero is the default; where zero means something
 *    itself the field is signed and -1 says "none".
 *  - A handle belongs to one thread at a time unless its function says more.
 *  - Structs that carry a `size` are set up by their _INIT macro, which tells
 *    the library which fields the caller knows.
 */
#ifndef LUNAQ_LUNAQ_H
#define LUNAQ_LUNAQ_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LUNAQ_API __attribute__((visibility("default")))
#else
#define LUNAQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LUNAQ_VERSION_MAJOR 0
#define LUNAQ_VERSION_MINOR 1
#define LUNAQ_VERSION_PATCH 0
#define LUNAQ_VERSION "0.1.0"

/** The version of the library at run time, like LUNAQ_VERSION.  Static. */
LUNAQ_API const char *lunaq_version(void);

/* ---- errors ------------------------------------------------------------- */

/* One row a code: the enum, lunaq_strerror() and every binding read it.
 * Numbers are never changed or reused. */
#define LUNAQ_ERROR_CODES(X)                                                   \
    X(ENOMEM, 1, "out of memory")                                              \
    X(EINVAL, 2, "invalid argument")                                           \
    X(ECONFIG, 3, "invalid configuration")                                     \
    X(ENOTFOUND, 4, "not found")                                               \
    X(EEXIST, 5, "a task with this id exists")                                 \
    X(EDUPLICATE, 6, "a task with this unique key is waiting or running")      \
    X(ELEASE, 7, "the lease is no longer ours")                                \
    X(ESTATE, 8, "not possible in the task's state")                           \
    X(EBROKER, 9, "the broker cannot be reached")                              \
    X(EUNKNOWN, 10, "sent, but no answer came: the outcome is unknown")        \
    X(EPROTO, 11, "the bytes cannot be decoded")                               \
    X(EFULL, 12, "a limit or the broker's memory is exhausted")                \
    X(ETIMEOUT, 13, "timed out")                                               \
    X(ECANCELED, 14, "canceled")                                               \
    X(ERECURSE, 15, "called from inside a callback of the same handle")        \
    X(EHANDLER, 16, "a handler cannot be loaded")                              \
    X(EDATABASE, 17, "the database refused or cannot be reached")              \
    X(EIO, 18, "input or output failed")                                       \
    X(EREPLY, 19, "the broker answered with an error")                         \
    X(EAMBIGUOUS, 20, "more than one thing has this name")

enum {
    LUNAQ_OK = 0,
#define LUNAQ_X(name, number, text) LUNAQ_##name = number,
    LUNAQ_ERROR_CODES(LUNAQ_X)
#undef LUNAQ_X
};

/** A code for programs and a message for people.  The layout is frozen. */
typedef struct lunaq_error {
    int code;
    char message[256];
} lunaq_error;
#define LUNAQ_ERROR_INIT                                                       \
    {                                                                          \
        0, ""                                                                  \
    }

/** The general text of a code; never NULL, also for unknown codes.  Static. */
LUNAQ_API const char *lunaq_strerror(int code);

/* ---- client ------------------------------------------------------------- */

#define LUNAQ_NAME_MAX 256 /* bytes in a queue, type, group name or task id */

typedef struct lunaq_client lunaq_client;

/* What has to be sure before an enqueue counts as done.  A server that dies, or
 * a master that is replaced, takes with it what is less sure than that. */
typedef enum lunaq_durable {
    LUNAQ_DURABLE_DEFAULT = 0, /* Redis: NONE.  A queue file: FSYNC, or NONE if
                                  its URL has durability=normal */
    LUNAQ_DURABLE_NONE = 1,    /* the broker has it in memory */
    LUNAQ_DURABLE_REPLICA = 2, /* one replica has it, too; Redis only */
    LUNAQ_DURABLE_FSYNC = 3    /* it is on the disk; Redis: 7.2 or newer with
                                  appendonly */
} lunaq_durable;
/** "none", "replica", "fsync"; "unknown" for other numbers.  Static. */
LUNAQ_API const char *lunaq_durable_name(lunaq_durable durable);

/** What the URL of a Redis server may also say behind its '?'
 *  (rediss://h?ca=FILE&…), for those who would rather not write it there.  The
 *  URL goes before, then these, then LUNAQ_REDIS_CA, LUNAQ_REDIS_CERT … of the
 *  environment.  What a URL has no use for is left out. */
typedef struct lunaq_redis_options {
    size_t size;
    const char *ca;   /* TLS: a file of PEM certificates; NULL = the system's */
    const char *cert; /* TLS: our own certificate, a file; with `key` */
    const char *key;
    const char *server_name;   /* TLS: that the certificate has to have; NULL =
                                  the host that is connected to */
    const char *sentinel_user; /* of the sentinels; NULL = as the servers' */
    const char *sentinel_password;
    int64_t insecure; /* TLS: 1 = look at no certificate */
} lunaq_redis_options;
#define LUNAQ_REDIS_OPTIONS_INIT                                               \
    {                                                                          \
        sizeof(lunaq_redis_options), 0, 0, 0, 0, 0, 0, 0                       \
    }

typedef struct lunaq_client_options {
    size_t size;
    const char *broker; /* sqlite:path,
                           redis://[user:password@]host[:port][/db], host:port,
                           redis-socket://path[?db=n],
                           redis-sentinel://h1,h2…[/db]?master=name,
                           redis-cluster://h1,h2…; rediss… for TLS; NULL:
                           LUNAQ_BROKER, else REDIS_URL, else REDIS_ADDR of the
                           environment, else sqlite:.lunaq/queue.db in the
                           current folder */
    int64_t timeout_ms; /* of each call; 0 = 5000 */
    const char *prefix; /* what all keys in Redis begin with, so that several
                           applications share one; letters, digits, '_', '-',
                           '.'; NULL: what the URL says (?prefix=app), else
                           LUNAQ_PREFIX, else "asynq" */
    int64_t durable;    /* a lunaq_durable, of tasks that do not say */
    const lunaq_redis_options *redis; /* NULL = none */
} lunaq_client_options;
#define LUNAQ_CLIENT_OPTIONS_INIT                                              \
    {                                                                          \
        sizeof(lunaq_client_options), 0, 0, 0, 0, 0                            \
    }

/** Opens a client.  Connects at the first call that needs the broker, and
 *  again whenever the connection was lost, so opening works while the broker
 *  is away.  options may be NULL.  LUNAQ_ECONFIG: the URL cannot be used;
 *  LUNAQ_ENOTFOUND: no broker was named, and the default file is not there
 *  (a server makes it). */
LUNAQ_API int lunaq_client_open(lunaq_client **out,
                                const lunaq_client_options *options,
                                lunaq_error *err);
LUNAQ_API void lunaq_client_close(lunaq_client *client);

/** Asks the broker for a sign of life.  Blocks up to timeout_ms. */
LUNAQ_API int lunaq_client_ping(lunaq_client *client, lunaq_error *err);

/** A pair of the task's metadata; both NUL-terminated UTF-8. */
typedef struct lunaq_header {
    const char *name;
    const char *value;
} lunaq_header;

/** A task to enqueue.  Only type is required. */
typedef struct lunaq_task {
    size_t size;
    const char *type;    /* decides which handler runs it */
    const void *payload; /* bytes; JSON if a Lua handler shall read it */
    size_t payload_len;
    const char *queue;   /* NULL = "default" */
    const char *task_id; /* NULL = a new UUIDv7 */
    const char *group;   /* waits to be aggregated with its group; NULL = no */
    const lunaq_header *headers;
    size_t header_count;
    int64_t max_retry;  /* retries after the first attempt; 0 = 25, -1 = none */
    int64_t timeout_ms; /* of one attempt; 0 = 30 min, or none when a deadline
                           is given; -1 = none; whole seconds, rounded up */
    int64_t deadline_at;   /* no attempt starts or goes on after it; 0 = none */
    int64_t process_at;    /* not before this instant; 0 = now */
    int64_t process_in_ms; /* the same, from now; 0 = now */
    int64_t retention_ms;  /* how long to keep it after success; 0 = not */
    int64_t unique_ms;     /* refuse another task of the same queue, type and
                              payload for this long; 0 = no, else >= 1000 */
    int64_t durable;       /* a lunaq_durable; 0 = the client's */
} lunaq_task;
#define LUNAQ_TASK_INIT                                                        \
    {                                                                          \
        sizeof(lunaq_task), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0     \
    }

/** What became of one task of an enqueue. */
typedef struct lunaq_enqueued {
    int code;                    /* LUNAQ_OK or why not */
    int delayed;                 /* 1 when it waits for its time */
    char id[LUNAQ_NAME_MAX + 8]; /* the task's id, also when refused */
    int durable; /* the lunaq_durable that was reached, also with
                    LUNAQ_EEXIST */
} lunaq_enqueued;

/** Enqueues one task.  result may be NULL.
 *  LUNAQ_EEXIST: the id is taken; LUNAQ_EDUPLICATE: its unique key is.
 *  LUNAQ_EUNKNOWN: the connection broke after the task was sent, or the broker
 *  has it but did not confirm in time what `durable` asks for; repeat with the
 *  same task_id, LUNAQ_EEXIST then means that it had arrived and, if durable
 *  was asked for, is so now.  Half of timeout_ms is for the confirmation.
 *  LUNAQ_ECONFIG: this broker cannot be as durable as that.
 *  Blocks up to timeout_ms. */
LUNAQ_API int lunaq_client_enqueue(lunaq_client *client, const lunaq_task *task,
                                   lunaq_enqueued *result, lunaq_error *err);

/** Enqueues count tasks in few round trips.  Not a transaction: each has its
 *  own results[i], and the function returns LUNAQ_OK when every one was taken,
 *  else the first code.  tasks[0].size is the stride of the array. */
LUNAQ_API int lunaq_client_enqueue_many(lunaq_client *client,
                                        const lunaq_task *tasks, size_t count,
                                        lunaq_enqueued *results,
                                        lunaq_error *err);

#ifdef __cplusplus
}
#endif

#include <lunaq/inspector.h>

#endif
