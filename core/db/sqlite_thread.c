/* A connection's thread: takes one job after another, answers by a post. */
#include "db/sqlite_pool.h"

#include <signal.h>

static void posted(lq_post *post)
{
    lq_lite_conn *c = LQ_OF(post, lq_lite_conn, post);
    pthread_mutex_lock(&c->mutex);
    c->posted = false;
    pthread_mutex_unlock(&c->mutex);
    if (c->db)
        lq_lite_answered(c);
    else
        lq_lite_conn_free(c);
}

static void *serve(void *ud)
{
    lq_lite_conn *c = ud;
    pthread_mutex_lock(&c->mutex);
    for (;;) {
        while (!c->quit && !c->job)
            pthread_cond_wait(&c->changed, &c->mutex);
        if (c->quit)
            break;
        lq_lite_call *job = c->job;
        c->job = NULL;
        pthread_mutex_unlock(&c->mutex);
        lq_lite_run(c, job);
        pthread_mutex_lock(&c->mutex);
        c->posted = true;
        lq_loop_post(c->loop, &c->post);
    }
    sqlite3 *lite = c->lite;
    c->lite = NULL;
    pthread_mutex_unlock(&c->mutex);
    lq_lite_forget_statements(c);
    sqlite3_close(lite); /* rolls back what is open */
    lq_line_leave(c->writers, &c->place);
    return NULL;
}

lq_lite_conn *lq_lite_conn_new(lq_lite *db)
{
    lq_lite_conn *c = lq_calloc(1, sizeof *c);
    sigset_t all, old;
    if (!c)
        return NULL;
    lq_list_init(&c->node);
    lq_list_init(&c->idle_node);
    c->db = db;
    c->loop = db->loop;
    c->path = db->path;
    c->writers = db->writers;
    lq_line_place_init(&c->place);
    c->post.fn = posted;
    lq_list_init(&c->roll.node);
    lq_list_init(&c->roll.all);
    lq_buf_init(&c->roll.message, 0);
    c->roll.db = db;
    c->roll.kind = LQ_LITE_ROLLBACK;
    atomic_init(&c->cancel, false);
    atomic_init(&c->locked, false);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&c->thread, NULL, serve, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        return c;
    lq_lite_conn_free(c);
    return NULL;
}

void lq_lite_conn_free(lq_lite_conn *c)
{
    lq_buf_release(&c->roll.message);
    lq_line_place_release(&c->place);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
    lq_free(c);
}

void lq_lite_give(lq_lite_conn *c, lq_lite_call *call)
{
    atomic_store(&c->cancel, false);
    pthread_mutex_lock(&c->mutex);
    c->job = call;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

void lq_lite_interrupt(lq_lite_conn *c)
{
    atomic_store(&c->cancel, true);
    pthread_mutex_lock(&c->mutex);
    if (c->lite)
        sqlite3_interrupt(c->lite);
    pthread_mutex_unlock(&c->mutex);
    lq_line_poke(c->writers, &c->place);
}

void lq_lite_conn_join(lq_lite_conn *c)
{
    lq_lite_interrupt(c);
    pthread_mutex_lock(&c->mutex);
    c->quit = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->thread, NULL);
}
