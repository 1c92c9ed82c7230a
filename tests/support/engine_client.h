/* engine_client: a blocking client of a queue file's engine, as a worker of a
 * daemon is one; for one thread. */
#ifndef LQ_TEST_ENGINE_CLIENT_H
#define LQ_TEST_ENGINE_CLIENT_H

#include "sqlite/engine.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct engine_client {
    lq_sqlite_client base;
    lq_sqlite_engine *engine;
    pthread_mutex_t mutex;
    pthread_cond_t told;
    bool ready;
    int64_t durable; /* of what it puts: a lunaq_durable */
} engine_client;

void engine_client_open(engine_client *c, lq_sqlite_engine *engine);
void engine_client_close(engine_client *c);
/** Carries op out, whose kind is set, and gives its rc. */
int engine_client_call(engine_client *c, lq_op *op);
/** Waits until something that was submitted has ended, and gives all that has;
 *  for those who keep several operations under way. */
void engine_client_collect(engine_client *c, lq_list *ended);

/** Enqueues `count` tasks (at most 100) with ids of their own; 0 or a code.
 *  Their first one's id goes to `id` (64 bytes), which may be NULL. */
int engine_client_put(engine_client *c, const char *queue, size_t count,
                      size_t payload_len, char *id);

/* A worker's hands: what it took last. */
typedef struct engine_hands {
    char ids[100][64];
    size_t count;
} engine_hands;

/** Finishes what is in the hands and takes up to `free` (at most 100) more with
 *  token 9; 0 or a code, LUNAQ_ELEASE when one of them was not ours. */
int engine_client_step(engine_client *c, const char *queue, engine_hands *h,
                       uint32_t free);

#endif
