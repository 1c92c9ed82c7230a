/* A loop for a test, with a guard: a test that waits for something that never
 * comes fails instead of hanging. */
#ifndef LQ_LOOP_WORLD_H
#define LQ_LOOP_WORLD_H

#include "loop/loop.h"

typedef struct loop_world {
    lq_loop *loop;
    lq_timer *guard;
    bool late;
    int64_t live; /* blocks before */
} loop_world;

void loop_world_init(loop_world *w);
/** Runs the loop until lq_loop_stop(), at most 20 s; fails the test then. */
void loop_world_run(loop_world *w);
/** Runs the loop for ms, for what shall not happen meanwhile. */
void loop_world_run_ms(loop_world *w, int64_t ms);
/** Frees the loop; fails the test when a block leaked. */
void loop_world_release(loop_world *w);

#endif
