/* A server socket of the test's own, whose conversation the test writes. */
#ifndef LQ_FAKE_SERVER_H
#define LQ_FAKE_SERVER_H

#include <stddef.h>

typedef struct fake_server fake_server;

/** Serves the n-th connection, from 1, on the server's thread.  Blocks as it
 *  likes, but ends when the peer has gone; fd is closed after it. */
typedef void fake_serve_fn(fake_server *s, int fd, int nth, void *ud);

/** Listens on 127.0.0.1 (any free port), or on a unix socket when path is not
 *  NULL.  Fails the test when it cannot. */
fake_server *fake_server_new(const char *path, fake_serve_fn *serve, void *ud);
int fake_server_port(const fake_server *s);
/** How many connections came so far. */
int fake_server_count(fake_server *s);
/** Ends what it serves, and the thread. */
void fake_server_free(fake_server *s);

/** For serve functions: reads until the text appeared or the peer is gone (0).
 */
int fake_expect(int fd, const char *text);
/** Reads and drops everything until the peer is gone. */
void fake_drain(int fd);
void fake_say(int fd, const char *text);

/** A TCP port of this host that refuses connections. */
int fake_refusing_port(void);

#endif
