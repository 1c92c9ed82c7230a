/* sentinels: a master, a replica, and three sentinels that watch them, all the
 * test's own, on ports of loopback.  They end with the test. */
#ifndef LQ_TEST_SENTINELS_H
#define LQ_TEST_SENTINELS_H

#include "support/redis_server.h"
#include "support/tls_files.h"

#define SENTINEL_COUNT 3

typedef struct sentinels {
    redis_server servers[2]; /* the master at first, and its replica */
    int ports[2];
    char folder[64];
    int sentinel_ports[SENTINEL_COUNT];
    int tls_ports[SENTINEL_COUNT]; /* of the sentinels, too */
    pid_t pids[SENTINEL_COUNT];
    char url[400];           /* redis-sentinel://… */
    const char *args[2][32]; /* of the servers */
    char texts[2][16];
    char files[3][96]; /* certificate, key and authority; "" = no TLS */
    int down_ms;
} sentinels;

/** Starts all and waits until the sentinels know the replica and each other.
 *  down_ms: after it a silent server counts as down.  password: of the servers;
 *  NULL = none.  tls: all speak TLS, to each other and to us; NULL = not.  0,
 * or -1: skip then. */
int sentinels_start(sentinels *s, int down_ms, const char *password,
                    const tls_files *tls);
/** The port of the master that a majority of the sentinels names now; 0 = they
 *  do not agree. */
int sentinels_master(const sentinels *s);
/** Starts the first server again, as a replica of the second. */
int sentinels_come_back(sentinels *s);
void sentinels_stop(sentinels *s);

#endif
