/* cutter: a proxy before a Redis socket that loses replies.
 *
 * It passes bytes on both ways.  When it is time to cut, it lets a request
 * through, waits until the server has answered, throws the answer away and
 * closes the client's connection: the script ran, its reply was never read.
 */
#ifndef LQ_TEST_CUTTER_H
#define LQ_TEST_CUTTER_H

#include <pthread.h>
#include <stdatomic.h>

typedef struct cutter {
    char socket[112]; /* where clients connect */
    char url[144];    /* redis-socket://… */
    char server[112];
    atomic_int every; /* cut at each n-th request of at least `min_len`
                         bytes; 0 = never */
    atomic_int min_len;
    atomic_int waits; /* so many answers to blocking waits are still to be
                         thrown away */
    atomic_int cuts;  /* made so far */
    atomic_int requests;
    int listener;
    int wake[2];
    pthread_t thread;
} cutter;

/** Starts the proxy's thread.  server: the path of the server's socket; the
 *  proxy's own is beside it.  0, or -1 with a message on stderr. */
int cutter_start(cutter *c, const char *server);
/** Closes all connections and ends the thread. */
void cutter_stop(cutter *c);

#endif
