/* bench_blpop: what a wake-up costs at least.
 *
 *     bench_blpop host port rate seconds
 *
 * One process pushes instants onto a list at a steady rate, another waits for
 * them with BLPOP; prints the time between push and pop, p50 and p99.  Two
 * processes, as a producer and a worker are. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "sample.h"

static redisContext *dial(char **argv)
{
    redisContext *c = redisConnect(argv[1], (int)strtol(argv[2], NULL, 10));
    if (!c || c->err) {
        fprintf(stderr, "bench_blpop: %s\n", c ? c->errstr : "out of memory");
        redisFree(c);
        return NULL;
    }
    redisEnableKeepAlive(c);
    return c;
}

static int push(char **argv, int64_t rate, int64_t total)
{
    redisContext *c = dial(argv);
    if (!c)
        return 1;
    int64_t next = sample_now_ns() + 200000000;
    bool failed = false;
    for (int64_t i = 0; i < total && !failed; i++) {
        sample_sleep_until(next);
        next += 1000000000 / rate;
        redisReply *r = redisCommand(c, "LPUSH bench:blpop %lld",
                                     (long long)sample_now_ns());
        failed = !r || r->type != REDIS_REPLY_INTEGER;
        freeReplyObject(r);
    }
    redisFree(c);
    return failed;
}

static int pop(char **argv, int64_t *took, int64_t total)
{
    redisContext *c = dial(argv);
    if (!c)
        return 1;
    int64_t got = 0;
    while (got < total) {
        redisReply *r = redisCommand(c, "BLPOP bench:blpop 5");
        int64_t now = sample_now_ns();
        bool one = r && r->type == REDIS_REPLY_ARRAY && r->elements == 2;
        if (one)
            took[got++] = now - strtoll(r->element[1]->str, NULL, 10);
        freeReplyObject(r);
        if (!one)
            break;
    }
    redisFree(c);
    return got < total;
}

int main(int argc, char **argv)
{
    int64_t rate = argc == 5 ? strtoll(argv[3], NULL, 10) : 0;
    int64_t total = argc == 5 ? rate * strtoll(argv[4], NULL, 10) : 0;
    if (rate <= 0 || total <= 0) {
        fprintf(stderr, "usage: bench_blpop host port rate seconds\n");
        return 2;
    }
    int64_t *took = calloc((size_t)total, sizeof *took);
    if (!took)
        return 1;
    pid_t child = fork();
    if (child == 0)
        _exit(push(argv, rate, total));
    int rc = child < 0 ? 1 : pop(argv, took, total), status = 0;
    if (child > 0)
        waitpid(child, &status, 0);
    if (rc == 0 && status == 0)
        sample_print(took, (size_t)total);
    else
        fprintf(stderr, "bench_blpop: pushes or pops were lost\n");
    free(took);
    return rc || status;
}
