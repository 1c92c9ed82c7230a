/* redis_server: a real redis-server of the test's own.
 *
 * It listens on a socket in a temporary folder, keeps nothing on disk unless
 * asked, and dies with the test: it is killed by pid at stop, and by the
 * kernel when the test itself is killed.
 */
#ifndef LQ_TEST_REDIS_SERVER_H
#define LQ_TEST_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct redis_server {
    char folder[64];
    char socket[96];
    char url[128];           /* redis-socket://… */
    pid_t pid;               /* 0: not running */
    const char *const *args; /* more of them; NULL = none */
    bool durable;            /* appendonly yes, appendfsync always */
} redis_server;

/** Starts a server and waits until it answers (10 s).  option: one more
 *  argument pair such as "--maxmemory", "2mb"; both may be NULL.  0, or -1
 *  with a message on stderr: skip the program then (exit code 77). */
int redis_server_start(redis_server *s, const char *option, const char *value);
/** The same with any arguments, a NULL-ended list that stays as long as s;
 *  "--port", "7000" makes it listen on loopback, too. */
int redis_server_start_with(redis_server *s, const char *const *args);
/** A TCP port of loopback that nobody listens on at the moment. */
int redis_server_free_port(void);
/** The same, but what was acknowledged survives redis_server_restart(). */
int redis_server_start_durable(redis_server *s);
/** Ends it at once (SIGKILL) and waits. */
void redis_server_kill(redis_server *s);
/** Starts it again after a kill, in the same folder. */
int redis_server_restart(redis_server *s);
/** Ends it and removes the folder.  Safe to repeat. */
void redis_server_stop(redis_server *s);
/** Sends one command of words (NULL-terminated list) and returns the reply's
 *  raw bytes, NUL-terminated, to be freed by free(); NULL on failure. */
char *redis_server_command(const redis_server *s, const char *const *words);
/** The same to a port of loopback. */
char *redis_port_command(int port, const char *const *words);

#endif
