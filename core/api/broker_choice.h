/* Which broker it is when the caller did not say, and blocking connections to
 * whichever it is. */
#ifndef LQ_BROKER_CHOICE_H
#define LQ_BROKER_CHOICE_H

#include "broker/broker.h"

/* In the folder where the process stands. */
#define LQ_BROKER_DEFAULT "sqlite:.lunaq/queue.db"

typedef struct lq_broker_choice {
    const char *url;    /* borrowed from `given` or the environment */
    const char *source; /* who named it, for people; NULL: the caller */
    bool is_default;    /* nobody did */
} lq_broker_choice;

/** given, else LUNAQ_BROKER, REDIS_URL or REDIS_ADDR of the environment, else
 *  the default; empty values count as unset. */
lq_broker_choice lq_broker_choose(const char *given);

/** The URL with what `redis` and LUNAQ_REDIS_… add to it (redis_options.h), and
 *  with what its keys begin with: prefix, else the URL's own, else
 *  LUNAQ_PREFIX of the environment; NULL and "" are unset.  *out is the
 *  caller's to lq_free().  LUNAQ_ECONFIG: two prefixes, or one for a queue
 *  file. */
int lq_broker_url(char **out, const char *url, const char *prefix,
                  const lunaq_redis_options *redis, lunaq_error *err);

/** Opens a blocking connection for a broker's URL of any kind (broker/url.h);
 *  it connects at the first call. */
int lq_broker_caller_open(lq_caller **out, const char *url, lunaq_error *err);

#endif
