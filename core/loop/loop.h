/* An event loop: the only face of libuv in lunaq.
 *
 * A loop belongs to the thread that runs it.  Every function here is for that
 * thread, before or while it runs, except lq_loop_post() and lq_loop_stop().
 *
 * Objects that have an effect outside (timers, streams, polls, watches) are
 * closed, not freed: close() silences them at once, no callback of theirs comes
 * after it, and the memory goes when the loop has let go of it.
 */
#ifndef LQ_LOOP_H
#define LQ_LOOP_H

#include "base/error.h"
#include "base/list.h"
#include "base/str.h"

typedef struct lq_loop lq_loop;

int lq_loop_new(lq_loop **out, lunaq_error *err);
/** Runs until lq_loop_stop().  What was posted before is carried out first. */
void lq_loop_run(lq_loop *loop);
/** Makes lq_loop_run() return.  Any thread. */
void lq_loop_stop(lq_loop *loop);
/** Frees a loop that does not run; everything on it was closed.  Runs it until
 *  what was closed is gone: a name that is being looked up is waited for, since
 *  the system's resolver cannot be broken off. */
void lq_loop_free(lq_loop *loop);
/** The loop's clock: monotonic milliseconds as of this turn. */
int64_t lq_loop_now_ms(lq_loop *loop);

/** Until this instant (lq_mono_ns()) the loop looks for events again and again
 *  instead of sleeping; 0: it sleeps.  See base/spin.h. */
void lq_loop_awake_until(lq_loop *loop, int64_t mono_ns);

/* Something to run on a loop's thread.  The memory is the poster's until fn
 * comes. */
typedef struct lq_post {
    lq_list node;
    void (*fn)(struct lq_post *post);
} lq_post;
/** Runs post->fn on the loop's thread, in order of posting, exactly once.  Any
 *  thread; the loop must outlive it. */
void lq_loop_post(lq_loop *loop, lq_post *post);

/* At the end of a loop turn, before it waits.  Sleeps when not armed. */
typedef struct lq_turn lq_turn;
int lq_turn_new(lq_turn **out, lq_loop *loop, void (*fn)(void *ud), void *ud,
                lunaq_error *err);
/** fn runs once at the end of this turn (or of the next, when called from fn).
 *  Repeating it before then changes nothing. */
void lq_turn_arm(lq_turn *turn);
void lq_turn_close(lq_turn *turn); /* NULL is fine */

typedef struct lq_timer lq_timer;
int lq_timer_new(lq_timer **out, lq_loop *loop, void (*fn)(void *ud), void *ud,
                 lunaq_error *err);
/** Fires once in ms (0 = next turn); starting again moves it. */
void lq_timer_start(lq_timer *timer, int64_t ms);
void lq_timer_stop(lq_timer *timer);
bool lq_timer_active(const lq_timer *timer);
void lq_timer_close(lq_timer *timer); /* NULL is fine */

#define LQ_POLL_READ 1
#define LQ_POLL_WRITE 2
/* Watches a file descriptor that somebody else owns.  A socket error counts as
 * readable and writable: the owner's next call finds it. */
typedef struct lq_poll lq_poll;
int lq_poll_new(lq_poll **out, lq_loop *loop, int fd,
                void (*fn)(void *ud, int events), void *ud, lunaq_error *err);
/** Watches for these events, 0 = none.  Calling it again re-arms. */
int lq_poll_set(lq_poll *poll, int events);
/** Before the descriptor is closed. */
void lq_poll_close(lq_poll *poll); /* NULL is fine */

/* A byte stream to a server: TCP by name or a unix socket. */
typedef struct lq_stream lq_stream;
typedef struct lq_stream_events {
    void (*connected)(void *ud);
    /* Bytes arrived; p is the stream's until it returns.  The stream may be
     * closed inside. */
    void (*data)(void *ud, const char *p, size_t len);
    /* It could not connect, broke, or the peer ended it; nothing comes after.
     * The owner closes the stream, here or later. */
    void (*lost)(void *ud, const lunaq_error *why);
} lq_stream_events;
/** Starts connecting; names resolve off the loop.  host is a path when port is
 *  0.  Calls nothing back before it returns. */
int lq_stream_open(lq_stream **out, lq_loop *loop, const char *host, int port,
                   int64_t connect_timeout_ms, const lq_stream_events *events,
                   void *ud, lunaq_error *err);
/** Sends bytes; copied when they cannot leave at once.  After connected. */
void lq_stream_write(lq_stream *s, const char *p, size_t len);
void lq_stream_close(lq_stream *s); /* NULL is fine */

/* Watches a folder and all folders below it. */
typedef struct lq_fswatch lq_fswatch;
/** fn comes when something below changed, also for folders made later; many
 *  changes may give one call.  Where the system cannot watch, *out is NULL and
 *  the function fails with LUNAQ_EIO: rescan instead. */
int lq_fswatch_new(lq_fswatch **out, lq_loop *loop, const char *folder,
                   void (*fn)(void *ud), void *ud, lunaq_error *err);
void lq_fswatch_close(lq_fswatch *watch); /* NULL is fine */

#endif
