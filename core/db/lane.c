/* A thread for blocking jobs, and the helper: two of them, and a line. */
#include "db/lane.h"

#include "base/alloc.h"
#include "db/db.h"
#include "db/line.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define FAREWELL_S 1
#define CANCELS_MAX 1024
#define RESOLVES_MAX 256

struct lq_lane {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    lq_list jobs;
    size_t count, limit;
    pthread_t thread;
    bool started; /* owner and thread: who is last frees the lane */
    bool stop;
    bool over;
    bool abandoned;
};

static void lane_destroy(lq_lane *lane)
{
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->mutex);
    lq_free(lane);
}

lq_lane *lq_lane_new(size_t limit)
{
    lq_lane *lane = lq_calloc(1, sizeof *lane);
    pthread_condattr_t attr;
    if (!lane)
        return NULL;
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->changed, &attr);
    pthread_condattr_destroy(&attr);
    lq_list_init(&lane->jobs);
    lane->limit = limit;
    return lane;
}

static void *lane_thread(void *arg)
{
    lq_lane *lane = arg;
    pthread_mutex_lock(&lane->mutex);
    for (;;) {
        while (lq_list_empty(&lane->jobs) && !lane->stop)
            pthread_cond_wait(&lane->changed, &lane->mutex);
        if (lane->stop)
            break;
        lq_list *node = lq_list_shift(&lane->jobs);
        lq_lane_job *job = LQ_OF(node, lq_lane_job, node);
        lane->count--;
        pthread_mutex_unlock(&lane->mutex);
        job->run(job);
        pthread_mutex_lock(&lane->mutex);
    }
    bool abandoned = lane->abandoned;
    lane->over = true;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->mutex);
    if (abandoned)
        lane_destroy(lane);
    return NULL;
}

/* With all signals blocked: they are for the program's own threads. */
static bool lane_start(lq_lane *lane)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&lane->thread, NULL, lane_thread, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

bool lq_lane_take(lq_lane *lane, lq_lane_job *job)
{
    pthread_mutex_lock(&lane->mutex);
    if (!lane->started)
        lane->started = lane_start(lane);
    bool room = lane->started && lane->count < lane->limit;
    if (room) {
        lq_list_append(&lane->jobs, &job->node);
        lane->count++;
        pthread_cond_broadcast(&lane->changed);
    }
    pthread_mutex_unlock(&lane->mutex);
    if (!room)
        job->drop(job);
    return room;
}

static void lane_drop_all(lq_lane *lane)
{
    for (lq_list *node; (node = lq_list_shift(&lane->jobs));) {
        lq_lane_job *job = LQ_OF(node, lq_lane_job, node);
        job->drop(job);
    }
}

void lq_lane_free(lq_lane *lane)
{
    if (!lane)
        return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FAREWELL_S;
    pthread_mutex_lock(&lane->mutex);
    lane->stop = true;
    lane_drop_all(lane);
    pthread_cond_broadcast(&lane->changed);
    while (lane->started && !lane->over &&
           pthread_cond_timedwait(&lane->changed, &lane->mutex, &until) == 0)
        ;
    bool started = lane->started;
    lane->abandoned = started && !lane->over;
    bool abandoned = lane->abandoned;
    pthread_t thread = lane->thread;
    pthread_mutex_unlock(&lane->mutex);
    if (abandoned) {
        pthread_detach(thread);
        return;
    }
    if (started)
        pthread_join(thread, NULL);
    lane_destroy(lane);
}

/* ---- the helper --------------------------------------------------------- */

int lq_db_helper_new(lq_db_helper **out, lunaq_error *err)
{
    lq_db_helper *h = lq_calloc(1, sizeof *h);
    *out = NULL;
    if (!h)
        return lq_fail_nomem(err);
    h->cancel = lq_lane_new(CANCELS_MAX);
    h->resolve = lq_lane_new(RESOLVES_MAX);
    h->writers = lq_line_new();
    if (!h->cancel || !h->resolve || !h->writers) {
        lq_db_helper_free(h);
        return lq_fail_nomem(err);
    }
    *out = h;
    return 0;
}

void lq_db_helper_free(lq_db_helper *h)
{
    if (!h)
        return;
    lq_lane_free(h->cancel);
    lq_lane_free(h->resolve);
    lq_line_free(h->writers);
    lq_free(h);
}
