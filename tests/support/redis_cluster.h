/* redis_cluster: a real Redis Cluster of the test's own: three masters and
 * three replicas on loopback, made by redis-cli.
 *
 * Its servers die with the test, as redis_server's do.
 */
#ifndef LQ_TEST_REDIS_CLUSTER_H
#define LQ_TEST_REDIS_CLUSTER_H

#include "support/redis_server.h"

#include <stddef.h>
#include <stdint.h>

#define REDIS_CLUSTER_NODES 6

typedef struct redis_cluster {
    char folder[64];
    char url[160]; /* redis-cluster://127.0.0.1:…,… of the first three */
    redis_server nodes[REDIS_CLUSTER_NODES]; /* commands go by their sockets */
    int ports[REDIS_CLUSTER_NODES];
} redis_cluster;

/** Starts it and waits until it serves and its replicas follow.  0, or -1 with
 *  a message on stderr: skip the program then (exit code 77). */
int redis_cluster_start(redis_cluster *c);
/** Ends one node at once (SIGKILL). */
void redis_cluster_kill(redis_cluster *c, size_t node);
/** Starts a node again after a kill. */
int redis_cluster_restart(redis_cluster *c, size_t node);
/** Waits until every master has a replica that has all it has; false when that
 *  does not come. */
bool redis_cluster_settle(const redis_cluster *c);
/** Ends it and removes its folder.  Safe to repeat. */
void redis_cluster_stop(redis_cluster *c);
/** The node that is master of a key's slot now; -1: none says so. */
int redis_cluster_owner(const redis_cluster *c, const char *key);
/** A node's id; false when it does not answer. */
bool redis_cluster_id(const redis_cluster *c, size_t node, char id[41]);
/** Runs redis-cli with arguments ("--cluster reshard …") through a shell; its
 *  exit code.  Its output goes to a file in the folder. */
int redis_cluster_cli(const redis_cluster *c, const char *arguments);
/** Empties every master. */
void redis_cluster_wipe(const redis_cluster *c);

#endif
