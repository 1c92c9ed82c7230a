/* Posts, ends of turns, timers and polls. */
#include "support/test.h"

#include "base/clock.h"
#include "support/fake_server.h"
#include "support/loop_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int setup(void **state)
{
    static loop_world world;

    loop_world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    loop_world_release(*state);
    return 0;
}

/* ---- posts --------------------------------------------------------------- */

#define POSTS 20000
#define POSTERS 3

struct numbered {
    lq_post post;
    struct poster *poster;
    int number;
};

struct poster {
    lq_loop *loop;
    pthread_t loop_thread;
    struct numbered *posts;
    int next;
    int *left;
    bool in_order, on_loop;
};

static void numbered_came(lq_post *post)
{
    struct numbered *n = LQ_OF(post, struct numbered, post);
    struct poster *p = n->poster;

    p->in_order = p->in_order && n->number == p->next;
    p->on_loop = p->on_loop && pthread_equal(p->loop_thread, pthread_self());
    p->next++;
    if (--*p->left == 0)
        lq_loop_stop(p->loop);
}

static void *post_all(void *ud)
{
    struct poster *p = ud;

    for (int i = 0; i < POSTS; i++) {
        p->posts[i] = (struct numbered){{.fn = numbered_came}, p, i};
        lq_loop_post(p->loop, &p->posts[i].post);
    }
    return NULL;
}

static void post__from_other_threads__runs_on_the_loop_in_order(void **state)
{
    loop_world *w = *state;
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    int left = POSTS * POSTERS;

    for (int i = 0; i < POSTERS; i++) {
        posters[i] =
            (struct poster){.loop = w->loop,
                            .loop_thread = pthread_self(),
                            .posts = calloc(POSTS, sizeof(struct numbered)),
                            .left = &left,
                            .in_order = true,
                            .on_loop = true};
        assert_int_equal(
            pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    loop_world_run(w);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(posters[i].in_order);
        assert_true(posters[i].on_loop);
        assert_int_equal(posters[i].next, POSTS);
        free(posters[i].posts);
    }
}

struct counter {
    lq_post post;
    lq_loop *loop;
    lq_turn *turn;
    lq_timer *timer;
    int count, stop_at;
};

static void count(void *ud)
{
    struct counter *c = ud;

    if (++c->count == c->stop_at)
        lq_loop_stop(c->loop);
}

static void count_post(lq_post *post)
{
    count(LQ_OF(post, struct counter, post));
}

static void post__before_stop_and_run__is_carried_out(void **state)
{
    loop_world *w = *state;
    struct counter c = {.post.fn = count_post, .loop = w->loop};

    lq_loop_post(w->loop, &c.post);
    lq_loop_stop(w->loop);
    loop_world_run(w);
    assert_int_equal(c.count, 1);
}

static void post_again(lq_post *post)
{
    struct counter *c = LQ_OF(post, struct counter, post);

    count(c);
    lq_loop_post(c->loop, post);
}

static void post__that_posts_itself__lets_timers_fire(void **state)
{
    loop_world *w = *state;
    struct counter c = {.post.fn = post_again, .loop = w->loop};

    lq_loop_post(w->loop, &c.post);
    loop_world_run_ms(w, 20);
    assert_true(c.count > 1);
    c.post.fn = count_post; /* the loop's end carries it out */
    lq_loop_stop(w->loop);
    loop_world_run(w);
}

static void *stop_it(void *loop)
{
    lq_loop_stop(loop);
    return NULL;
}

static void stop__from_another_thread__ends_each_run(void **state)
{
    loop_world *w = *state;

    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_it, w->loop), 0);
        loop_world_run(w);
        pthread_join(thread, NULL);
    }
}

/* ---- turns --------------------------------------------------------------- */

static void turn__armed_twice__runs_once(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop};

    assert_int_equal(lq_turn_new(&c.turn, w->loop, count, &c, NULL), 0);
    lq_turn_arm(c.turn);
    lq_turn_arm(c.turn);
    loop_world_run_ms(w, 20);
    assert_int_equal(c.count, 1);
    lq_turn_close(c.turn);
}

static void count_and_arm(void *ud)
{
    struct counter *c = ud;

    count(c);
    lq_turn_arm(c->turn);
}

static void turn__that_arms_itself__runs_without_a_wait(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop, .stop_at = 1000};
    int64_t before = lq_mono_ms();

    assert_int_equal(lq_turn_new(&c.turn, w->loop, count_and_arm, &c, NULL), 0);
    lq_turn_arm(c.turn);
    loop_world_run(w);
    /* One wait is the guard's 20 s. */
    assert_true(lq_mono_ms() - before < 10000);
    lq_turn_close(c.turn);
}

struct relay {
    lq_loop *loop;
    lq_turn *second;
    lq_post post;
    bool posted, second_first;
};

static void relay_first(void *ud)
{
    struct relay *r = ud;

    lq_loop_post(r->loop, &r->post);
    lq_turn_arm(r->second);
}

static void relay_second(void *ud)
{
    struct relay *r = ud;

    r->second_first = !r->posted;
}

static void relay_posted(lq_post *post)
{
    struct relay *r = LQ_OF(post, struct relay, post);

    r->posted = true;
    lq_loop_stop(r->loop);
}

static void turn__armed_by_another__runs_in_the_same_turn(void **state)
{
    loop_world *w = *state;
    struct relay r = {.loop = w->loop, .post.fn = relay_posted};
    lq_turn *first;

    assert_int_equal(lq_turn_new(&first, w->loop, relay_first, &r, NULL), 0);
    assert_int_equal(lq_turn_new(&r.second, w->loop, relay_second, &r, NULL),
                     0);
    lq_turn_arm(first);
    loop_world_run(w);
    assert_true(r.second_first);
    lq_turn_close(first);
    lq_turn_close(r.second);
}

static int64_t thread_cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void turn__after_it_ran__lets_the_loop_sleep(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop, .stop_at = 3};
    int64_t cpu;

    assert_int_equal(lq_turn_new(&c.turn, w->loop, count_and_arm, &c, NULL), 0);
    lq_turn_arm(c.turn);
    loop_world_run(w);
    lq_turn_close(c.turn);
    cpu = thread_cpu_ms();
    loop_world_run_ms(w, 300);
    assert_true(thread_cpu_ms() - cpu < 100);
}

static void turn__closed_while_armed__is_silent(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop};

    assert_int_equal(lq_turn_new(&c.turn, w->loop, count, &c, NULL), 0);
    lq_turn_arm(c.turn);
    lq_turn_close(c.turn);
    lq_turn_close(NULL);
    loop_world_run_ms(w, 5);
    assert_int_equal(c.count, 0);
}

/* ---- timers -------------------------------------------------------------- */

static void timer__started__fires_once_and_not_early(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop, .stop_at = 1};
    int64_t before = lq_mono_ns();

    assert_int_equal(lq_timer_new(&c.timer, w->loop, count, &c, NULL), 0);
    assert_false(lq_timer_active(c.timer));
    lq_timer_start(c.timer, 30);
    assert_true(lq_timer_active(c.timer));
    loop_world_run(w);
    assert_true(lq_mono_ns() - before >= 28 * 1000000LL);
    assert_false(lq_timer_active(c.timer));
    loop_world_run_ms(w, 40);
    assert_int_equal(c.count, 1);
    lq_timer_close(c.timer);
}

struct late {
    struct counter c;
    lq_post post;
    int64_t started_ns;
};

/* Works for a while, then asks for 20 ms from now. */
static void start_late(lq_post *post)
{
    struct late *l = LQ_OF(post, struct late, post);
    int64_t until = lq_mono_ns() + 50 * 1000000LL;

    while (lq_mono_ns() < until)
        ;
    l->started_ns = lq_mono_ns();
    lq_timer_start(l->c.timer, 20);
}

static void timer__started_late_in_a_turn__counts_from_then(void **state)
{
    loop_world *w = *state;
    struct late l = {.c = {.loop = w->loop, .stop_at = 1},
                     .post.fn = start_late};

    assert_int_equal(lq_timer_new(&l.c.timer, w->loop, count, &l.c, NULL), 0);
    lq_loop_post(w->loop, &l.post);
    loop_world_run(w);
    assert_true(lq_mono_ns() - l.started_ns >= 18 * 1000000LL);
    lq_timer_close(l.c.timer);
}

static void timer__stopped_or_moved__does_not_fire_at_its_old_time(void **state)
{
    loop_world *w = *state;
    struct counter stopped = {.loop = w->loop}, moved = {.loop = w->loop};

    assert_int_equal(lq_timer_new(&stopped.timer, w->loop, count, &stopped, 0),
                     0);
    assert_int_equal(lq_timer_new(&moved.timer, w->loop, count, &moved, 0), 0);
    lq_timer_start(stopped.timer, 1);
    lq_timer_start(moved.timer, 1);
    lq_timer_stop(stopped.timer);
    lq_timer_start(moved.timer, 60000);
    loop_world_run_ms(w, 20);
    assert_int_equal(stopped.count, 0);
    assert_int_equal(moved.count, 0);
    lq_timer_close(stopped.timer);
    lq_timer_close(moved.timer);
}

static void count_and_start(void *ud)
{
    struct counter *c = ud;

    count(c);
    lq_timer_start(c->timer, 0);
}

static void timer__zero_in_its_own_function__lets_others_run(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop};

    assert_int_equal(lq_timer_new(&c.timer, w->loop, count_and_start, &c, 0),
                     0);
    lq_timer_start(c.timer, 0);
    loop_world_run_ms(w, 30); /* the guard's timer is another */
    assert_true(c.count > 1);
    lq_timer_close(c.timer);
}

static void close_own_timer(void *ud)
{
    struct counter *c = ud;

    lq_timer_close(c->timer);
    count(c);
}

static void timer__closed_in_its_function__is_gone(void **state)
{
    loop_world *w = *state;
    struct counter c = {.loop = w->loop, .stop_at = 1};

    assert_int_equal(lq_timer_new(&c.timer, w->loop, close_own_timer, &c, 0),
                     0);
    lq_timer_start(c.timer, 0);
    loop_world_run(w);
    lq_timer_close(NULL);
}

/* ---- polls --------------------------------------------------------------- */

struct watched {
    lq_loop *loop;
    lq_poll *poll;
    int events, calls;
};

static void became_ready(void *ud, int events)
{
    struct watched *x = ud;

    x->events |= events;
    x->calls++;
    lq_poll_set(x->poll, 0);
    lq_loop_stop(x->loop);
}

static void poll__bytes_arrive__is_readable(void **state)
{
    loop_world *w = *state;
    struct watched x = {.loop = w->loop};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(lq_poll_new(&x.poll, w->loop, fds[0], became_ready, &x, 0),
                     0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_world_run_ms(w, 5); /* watches for nothing yet */
    assert_int_equal(x.calls, 0);
    assert_int_equal(lq_poll_set(x.poll, LQ_POLL_READ), 0);
    loop_world_run(w);
    assert_int_equal(x.events, LQ_POLL_READ);
    assert_int_equal(lq_poll_set(x.poll, LQ_POLL_READ | LQ_POLL_WRITE), 0);
    loop_world_run(w);
    assert_int_equal(x.events, LQ_POLL_READ | LQ_POLL_WRITE);
    lq_poll_close(x.poll);
    lq_poll_close(NULL);
    close(fds[0]);
    close(fds[1]);
}

static void poll__refused_connection__is_ready(void **state)
{
    loop_world *w = *state;
    struct watched x = {.loop = w->loop};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)fake_refusing_port()),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), -1);
    assert_int_equal(errno, EINPROGRESS);
    assert_int_equal(lq_poll_new(&x.poll, w->loop, fd, became_ready, &x, 0), 0);
    assert_int_equal(lq_poll_set(x.poll, LQ_POLL_WRITE), 0);
    loop_world_run(w);
    assert_true(x.events & LQ_POLL_WRITE);
    lq_poll_close(x.poll);
    close(fd);
}

static void poll__closed__is_silent(void **state)
{
    loop_world *w = *state;
    struct watched x = {.loop = w->loop};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(lq_poll_new(&x.poll, w->loop, fds[0], became_ready, &x, 0),
                     0);
    assert_int_equal(lq_poll_set(x.poll, LQ_POLL_WRITE), 0);
    lq_poll_close(x.poll);
    loop_world_run_ms(w, 5);
    assert_int_equal(x.calls, 0);
    close(fds[0]);
    close(fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(post__from_other_threads__runs_on_the_loop_in_order),
        TEST(post__before_stop_and_run__is_carried_out),
        TEST(post__that_posts_itself__lets_timers_fire),
        TEST(stop__from_another_thread__ends_each_run),
        TEST(turn__armed_twice__runs_once),
        TEST(turn__that_arms_itself__runs_without_a_wait),
        TEST(turn__armed_by_another__runs_in_the_same_turn),
        TEST(turn__after_it_ran__lets_the_loop_sleep),
        TEST(turn__closed_while_armed__is_silent),
        TEST(timer__started__fires_once_and_not_early),
        TEST(timer__started_late_in_a_turn__counts_from_then),
        TEST(timer__stopped_or_moved__does_not_fire_at_its_old_time),
        TEST(timer__zero_in_its_own_function__lets_others_run),
        TEST(timer__closed_in_its_function__is_gone),
        TEST(poll__bytes_arrive__is_readable),
        TEST(poll__refused_connection__is_ready),
        TEST(poll__closed__is_silent),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
