/* callback_world: C handlers on their pool.  It stands in for the runtime: it
 * makes the runs and is told how they end. */
#ifndef LQ_CALLBACK_WORLD_H
#define LQ_CALLBACK_WORLD_H

#include "support/test.h"

#include "base/alloc.h"
#include "runtime/callback_parts.h"
#include "support/loop_world.h"

#include <pthread.h>

#define THREADS 3

struct ended {
    lq_run run;
    struct world *world;
    int64_t delay_ms;
    size_t message_len;
    size_t result_len;
    enum lq_verdict_kind kind;
    int count;
    char result[64];
    char message[LQ_ERROR_TEXT_MAX + 1];
    bool on_loop;
};

struct world {
    loop_world w;
    lq_callbacks *pool;
    lq_runner *runner;
    pthread_t thread;
    int left; /* runs that have not ended */
};

int callback_setup(void **state);
int callback_teardown(void **state);
/** A handler of the types that the pattern names. */
void callback_add(struct world *x, const char *type, lunaq_handler_fn *fn,
                  void *userdata);
/** Begins a run; e is filled when it ends. */
void callback_begin(struct world *x, struct ended *e, const char *type);
/** The same, until it has ended. */
void callback_run_to_end(struct world *x, struct ended *e, const char *type);
/** What begun runs are ended by. */
void callback_ended(lq_run *run, const lq_verdict *v);

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, callback_setup, callback_teardown)

#endif
