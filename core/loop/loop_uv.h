/* What the files of this folder share: the loop as libuv sees it. */
#ifndef LQ_LOOP_UV_H
#define LQ_LOOP_UV_H

#include "loop/loop.h"
#include <pthread.h>
#include <uv.h>

#define LQ_READ_SIZE ((size_t)64 * 1024)

struct lq_loop {
    uv_loop_t uv;
    uv_async_t wake;       /* posted to, or told to stop */
    uv_prepare_t turn_end; /* runs the armed turns; always started */
    uv_idle_t no_sleep;    /* started while it must not sleep */
    lq_list turns;         /* armed */
    uint64_t pass;         /* counts ends of turns */
    int64_t awake_ns;      /* does not sleep before; 0: may */
    bool in_timers;        /* inside a timer's function */
    char *read_buf;        /* streams read into it, LQ_READ_SIZE */

    pthread_mutex_t lock; /* guards what follows */
    lq_list posted;
    bool stop;
};

/** lq_fail() with libuv's text: "what: connection refused". */
int lq_fail_uv(lunaq_error *err, int status, const char *what);

#endif
