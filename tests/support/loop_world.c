/* A loop for a test: see the header. */
#include "support/test.h"

#include "support/loop_world.h"

#include "base/alloc.h"

static void guard_fired(void *ud)
{
    loop_world *w = ud;

    w->late = true;
    lq_loop_stop(w->loop);
}

void loop_world_init(loop_world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;

    *w = (loop_world){.live = lq_alloc_live()};
    assert_int_equal(lq_loop_new(&w->loop, &err), LUNAQ_OK);
    assert_int_equal(lq_timer_new(&w->guard, w->loop, guard_fired, w, &err),
                     LUNAQ_OK);
}

void loop_world_run(loop_world *w)
{
    w->late = false;
    lq_timer_start(w->guard, 20000);
    lq_loop_run(w->loop);
    lq_timer_stop(w->guard);
    assert_false(w->late);
}

void loop_world_run_ms(loop_world *w, int64_t ms)
{
    lq_timer_start(w->guard, ms);
    lq_loop_run(w->loop);
    assert_true(w->late);
    w->late = false;
}

void loop_world_release(loop_world *w)
{
    lq_timer_close(w->guard);
    lq_loop_free(w->loop);
    assert_int_equal(lq_alloc_live(), w->live);
}
