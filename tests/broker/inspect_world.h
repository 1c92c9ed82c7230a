/* The world of the inspector's tests: a real Redis, a client, and tasks put
 * into any state by hand, as Asynq's Go code would have left them. */
#ifndef LQ_TEST_INSPECT_WORLD_H
#define LQ_TEST_INSPECT_WORLD_H

#include "support/test.h"

#include "broker/broker.h"
#include "client/client.h"
#include "support/redis_server.h"

struct world {
    redis_server server;
    lunaq_client *client;
    lq_caller *caller; /* for operations that have no public function */
    int64_t blocks;    /* alive before the test */
};

/* A task as it lies in Redis. */
struct planted {
    const char *queue, *id;
    lunaq_state state;
    const char *group;     /* aggregating */
    const char *lock;      /* its unique key, which it holds */
    bool lock_in_msg_only; /* as Asynq does it for groups */
    int32_t retried;
    int64_t score; /* 0 = 1700000000 */
};

int world_open(void **state); /* group: starts the server */
int world_close(void **state);
int world_begin(void **state); /* each test: an empty server, a client */
int world_end(void **state);   /* … which leaves no block behind */

void plant(struct world *w, const struct planted *p);
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
/** SET key <bytes> */
void redis_set(struct world *w, const char *key, const void *p, size_t len);

#endif
