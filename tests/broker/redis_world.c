#include "broker/redis_world.h"

#include "redis/link_poll.h"

#include <stdio.h>
#include <stdlib.h>

static redis_server the_server;

redis_server *redis_world_server(void)
{
    return &the_server;
}

const char *redis_world_do(const char *const *words)
{
    static char *last;
    free(last);
    last = redis_server_command(&the_server, words);
    assert_non_null(last);
    return last;
}

static int open_redis(void *ud, lq_caller **out)
{
    const redis_server *s = ud;
    return lq_redis_caller_open(out, s->url, NULL);
}

static void wipe_redis(void *ud)
{
    (void)ud;
    (void)REDIS("FLUSHALL");
}

const world_factory *redis_world_factory(void)
{
    static const world_factory factory = {"redis", open_redis, wipe_redis,
                                          &the_server};
    return &factory;
}

static int open_limited(void *ud, lq_caller **out)
{
    const redis_server *s = ud;
    char url[160];
    (void)REDIS("ACL", "SETUSER", "worker", "on", ">pw", "~asynq:*", "~lunaq:*",
                "&*", "+@all", "-@dangerous");
    snprintf(url, sizeof(url), "redis-socket://worker:pw@%s", s->socket);
    return lq_redis_caller_open(out, url, NULL);
}

const world_factory *redis_world_limited(void)
{
    static const world_factory factory = {"redis, limited user", open_limited,
                                          wipe_redis, &the_server};
    return &factory;
}
