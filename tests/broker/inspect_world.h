/* The world of the inspector's tests: a real broker, a client, and tasks put
 * into any state, in Redis by hand, as Asynq's Go code would have left them. */
#ifndef LQ_TEST_INSPECT_WORLD_H
#define LQ_TEST_INSPECT_WORLD_H

#include "support/test.h"

#include "broker/broker.h"
#include "broker/copy.h"
#include "client/client.h"
#include "support/redis_server.h"

struct planted;
struct world;

/* What the tests need of a broker beside its operations. */
struct inspected {
    const char *name;
    int (*start)(struct world *w); /* once; not 0: not here, skipped */
    void (*stop)(struct world *w);
    void (*wipe)(struct world *w);
    int (*open)(struct world *w, lq_caller **out);
    void (*plant)(struct world *w, const struct planted *p, lq_str msg);
    bool (*locked)(struct world *w, const char *lock);
    int64_t (*things)(struct world *w);
};
extern const struct inspected inspected_redis, inspected_sqlite;

struct world {
    const struct inspected *broker;
    redis_server server; /* Redis only */
    char folder[64];     /* SQLite only */
    char path[96];
    lunaq_client *client;
    lq_caller *caller; /* for operations that have no public function */
    int64_t blocks;    /* alive before the test */
    const void *own;   /* the test's own state */
};

/* A task as it lies there. */
struct planted {
    const char *queue, *id;
    lunaq_state state;
    const char *group;     /* aggregating */
    const char *lock;      /* its unique key, which it holds */
    bool lock_in_msg_only; /* as Asynq does it for groups */
    int32_t retried;
    int64_t score; /* s; 0 = 1700000000 */
    int32_t crashes;
    const char *cancel, *result;
    const char *msg; /* instead of a good one */
};

int world_begin(void **state); /* each test: an empty broker, a client */
int world_end(void **state);   /* … which leaves no block behind */

/** Runs the tests on every broker, and those of Redis alone on Redis. */
int world_run(const char *name, const struct CMUnitTest *tests, size_t count,
              const struct CMUnitTest *redis_only, size_t redis_count, int argc,
              char **argv);

/** Runs tests that only one broker can have. */
int world_run_on(const struct inspected *broker, const char *name,
                 const struct CMUnitTest *tests, size_t count);

void plant(struct world *w, const struct planted *p);
/** `count` pending tasks: "<head>0", "<head>1", … */
void plant_pending(struct world *w, const char *queue, const char *head,
                   int count);
/** What a queue has beside its tasks. */
void plant_queue(struct world *w, const char *queue, const lq_queue_copy *copy);
/** A server of host "here", pid 7, that lives for a minute and serves a queue
 *  (NULL: none); extra: what lunaq's say of themselves, NULL for Asynq's. */
void plant_server(struct world *w, const char *id, const char *queue,
                  const char *extra);
/** Carries op out; fails the test when that fails. */
void carry_out(struct world *w, lq_op *op);
/** How many tasks a queue has in a state. */
int64_t count_of(struct world *w, const char *queue, lunaq_state state);
/** True while somebody holds the lock. */
bool locked(struct world *w, const char *lock);
/** How much there is: keys, or rows.  Equal before and after: nothing was
 *  added or deleted. */
int64_t things(struct world *w);
/** Asserts that the invariants hold in a queue. */
void assert_sound(struct world *w, const char *queue);

/** One command of words; its reply as an integer, or -1. */
int64_t redis_int(struct world *w, const char *command, ...)
    __attribute__((sentinel));
/** The reply's text without its RESP dress, to be freed by free(). */
char *redis_text(struct world *w, const char *command, ...)
    __attribute__((sentinel));
/** Binary: key, field, value. */
void redis_hset(struct world *w, const char *key, const char *field,
                const void *p, size_t len);

#endif
