/* cluster_world: a Redis Cluster, servers and producers on it, and what became
 * of each task. */
#ifndef LQ_CLUSTER_WORLD_H
#define LQ_CLUSTER_WORLD_H

#include "support/test.h"

#include "support/redis_cluster.h"
#include <lunaq/server.h>

#include <pthread.h>
#include <stdatomic.h>

#define WAIT_MS 90000
#define QUEUES 3
#define TASKS_MAX 200000
#define SERVERS 2

extern redis_cluster cluster;
/* One queue a master, in the slots that redis-cli moves first. */
extern char queue_names[QUEUES][16];
extern int queue_slots[QUEUES];

struct world {
    lunaq_server *servers[SERVERS];
    lunaq_client *client;
    struct producer {
        struct world *w;
        int queue;
        pthread_t thread;
    } producers[QUEUES];
    atomic_bool stop;
    atomic_int next;       /* number of the next task */
    atomic_int starts;     /* runs in all, … */
    atomic_int of[QUEUES]; /* … and by queue */
    atomic_int bad;        /* enqueues that failed for good */
    char why[300];
    bool durable; /* every second task */
    bool patient; /* enqueues are tried again until they are known */
    atomic_int handler_us;
    atomic_bool hold;              /* handlers go on when it is false */
    atomic_uchar acked[TASKS_MAX]; /* 1 enqueued, 2 durably */
    atomic_uchar runs[TASKS_MAX];
};

/** Monotonic. */
int64_t now_ms(void);
/** A rest of so many microseconds between two looks. */
void nap(int64_t us);
/** The reply of a node to a command, to be freed. */
char *node_do(size_t node, const char *const *words);
/** The same; fails when the reply is an error. */
void node_ok(size_t node, const char *const *words);
/** Finds a queue a master: queue_names, queue_slots. */
void find_names(void);
/** The node that has a queue; waits until one has. */
int owner_of(int queue);
/** Warnings of servers, when LUNAQ_TEST_LOG is set. */
void tell(lunaq_log_level level, const char *line, size_t len, void *ud);
/** Server i, with a handler of "t" that counts its runs. */
void start_server(struct world *w, size_t i);
/** One that has not spoken to any node yet. */
lunaq_client *open_client(void);
/** Enqueues task n until it is known to be there; its answer, else. */
int put(struct world *w, lunaq_client *client, int n, lunaq_error *err);
/** One a queue, on threads of their own, which go on until stopped. */
void start_producers(struct world *w);
void stop_producers(struct world *w);
/** Until n runs have begun. */
void wait_runs(struct world *w, int n);
/** Tasks acknowledged at `least` so surely (1, 2: durably) that did not run. */
int missing(struct world *w, int least);
/** Tasks that ran more than once. */
int repeated(struct world *w);
/** Until none is missing(). */
void wait_all(struct world *w, int least);
/** Tasks of all queues that failed, or still wait. */
int64_t failed_in_all(struct world *w);
/** For each test; the cluster is wiped, not started. */
int world_setup(void **state);
int world_teardown(void **state);
void stop_servers(struct world *w);

#define NODE(node, ...) node_do(node, (const char *const[]){__VA_ARGS__, NULL})

#define NODE_OK(node, ...)                                                     \
    node_ok(node, (const char *const[]){__VA_ARGS__, NULL})

#endif
