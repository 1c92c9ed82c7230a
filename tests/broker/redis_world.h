/* redis_world: the suite's factory on a private redis-server, and the server
 * itself for tests that look at or damage its keys. */
#ifndef LQ_TEST_REDIS_WORLD_H
#define LQ_TEST_REDIS_WORLD_H

#include "broker/world.h"
#include "support/redis_server.h"

/** The server of the program. */
redis_server *redis_world_server(void);
const world_factory *redis_world_factory(void);
/** The same as a user who may touch only asynq:* and lunaq:* and nothing
 *  dangerous.  INFO is among that, so the server's version stays unknown and
 * the scripts go out in the form for Redis 6.2. */
const world_factory *redis_world_limited(void);

/** Sends a command of words, ended by NULL, as the macro does; its reply as raw
 *  RESP, the test's until its teardown of the next call. */
const char *redis_world_do(const char *const *words);
#define REDIS(...) redis_world_do((const char *const[]){__VA_ARGS__, NULL})

/* Tests that only Redis has. */
size_t redis_bytes(struct CMUnitTest *out);
size_t redis_faults(struct CMUnitTest *out);
size_t redis_outage(struct CMUnitTest *out);
size_t redis_lost(struct CMUnitTest *out);
size_t redis_groups(struct CMUnitTest *out);

#endif
