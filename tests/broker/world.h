/* world: what a test of the broker suite stands on.
 *
 * The suite speaks to a broker only through an lq_caller that a factory made,
 * so that every broker runs the same tests.  A world is a wiped broker with one
 * connection and a lease token; its teardown checks the broker's invariants on
 * every queue the suite uses, so every test is also a test of those.
 */
#ifndef LQ_TEST_WORLD_H
#define LQ_TEST_WORLD_H

#include "support/test.h"

#include "broker/inspect.h"

typedef struct world_factory {
    const char *name;
    /* Opens a connection; 0 on success. */
    int (*open)(void *ud, lq_caller **out);
    /* Removes everything in the broker. */
    void (*wipe)(void *ud);
    void *ud;
} world_factory;

typedef struct world {
    const world_factory *factory;
    lq_caller *caller;
    uint32_t token;
    bool broken;        /* set by a test that breaks invariants: no audit */
    int64_t lease_ms;   /* of what world_take takes; 30 s at first */
    lq_op_step step;    /* the last take or settle */
    char canceled[100]; /* what the last settle was told of that */
    lq_step_queue queues[2];
} world;

#define Q "q"
#define WORLD_TIMEOUT_MS 30000

/* For cmocka: *state is the factory before and the world after. */
int world_setup(void **state);
int world_teardown(void **state);
/** Says which factory the following groups use. */
void world_use(const world_factory *factory);

#define WORLD_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/** Carries op out; fails the test when the connection does. */
int world_call(world *w, lq_op *op);
uint32_t world_new_token(world *w);

/** Enqueues a plain task of type "t" with this id into Q; the item's code. */
int world_put(world *w, const char *id);
/** Enqueues one task; the item's code, and the id in id (LUNAQ_NAME_MAX + 8)
 *  when not NULL. */
int world_put_task(world *w, const lunaq_task *t, char *id);
/** Enqueues n tasks "a000", "a001", … */
void world_put_many(world *w, size_t n);

/** Takes up to n of Q; how many.  They are in w->step.taken. */
size_t world_take(world *w, uint32_t n);
/** Takes one and checks that it is this. */
void world_take_id(world *w, const char *id);
/** Settles one outcome of Q with the world's token if it has neither token nor
 *  score; its code. */
int world_settle(world *w, lq_outcome o);
/** The same with only a kind. */
int world_end(world *w, enum lq_outcome_kind kind, const char *id);

/** Where the task is; LUNAQ_STATE_ANY when nowhere.  *row (may be NULL) is
 *  valid until world_rows_release(). */
lunaq_state world_state(world *w, const char *id);
/** As the broker holds it; strings in get->op.mem: lq_op_release(&get->op). */
const lq_task_row *world_row(world *w, const char *id, lq_op_task_get *get);
lunaq_queue_info world_stats(world *w);
/** The message of a task with this id, as a retry would write it. */
lq_str world_msg(lq_buf *buf, const char *id);
/** Checks the invariants of a queue now. */
void world_audit(world *w, const char *queue);

/* The suites: append their tests to out, return how many. */
size_t suite_enqueue(struct CMUnitTest *out);
size_t suite_take(struct CMUnitTest *out);
size_t suite_task(struct CMUnitTest *out);
size_t suite_lease(struct CMUnitTest *out);
size_t suite_due(struct CMUnitTest *out);
size_t suite_limits(struct CMUnitTest *out);
size_t suite_group(struct CMUnitTest *out);
size_t suite_group_end(struct CMUnitTest *out);
size_t suite_untold(struct CMUnitTest *out);

#endif
