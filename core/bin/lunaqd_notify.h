/* Telling systemd, or whoever sets NOTIFY_SOCKET, how the service is. */
#ifndef LUNAQD_NOTIFY_H
#define LUNAQD_NOTIFY_H

#include <stdint.h>

typedef struct notify {
    int fd;              /* -1: nobody listens */
    int64_t watchdog_ms; /* how often to send WATCHDOG=1; 0 = never */
} notify;

/** Reads NOTIFY_SOCKET and WATCHDOG_USEC.  Never fails: a socket that cannot
 *  be used is nobody listening. */
void notify_open(notify *n);
/** Sends e.g. "READY=1\nSTATUS=…".  Does not block. */
void notify_send(const notify *n, const char *state);
void notify_close(notify *n);

#endif
