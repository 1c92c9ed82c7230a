/* patience: waits for what callbacks of a server count, with a deadline. */
#ifndef LQ_TEST_PATIENCE_H
#define LQ_TEST_PATIENCE_H

#include "support/test.h"

#include <lunaq/server.h>

#include <stdatomic.h>
#include <time.h>

#define WAIT_MS 30000

/** A rest between two looks. */
static inline void nap(void)
{
    const struct timespec t = {0, 2000000};
    nanosleep(&t, NULL);
}

/** Until *value is n at least; fails, by the name `what`, after WAIT_MS. */
static inline void wait_for(const char *what, atomic_int *value, int n)
{
    struct timespec now, until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_MS / 1000;
    while (atomic_load(value) < n) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > until.tv_sec)
            fail_msg("%s: %d of %d", what, atomic_load(value), n);
        nap();
    }
}

/** A log that nobody reads. */
static inline void silent(lunaq_log_level level, const char *line, size_t len,
                          void *ud)
{
    (void)level;
    (void)line;
    (void)len;
    (void)ud;
}

#endif
