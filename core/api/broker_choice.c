/* Which broker it is when the caller did not say, and blocking connections to
 * whichever it is. */
#include "api/broker_choice.h"

#include "api/redis_options.h"
#include "base/alloc.h"
#include "broker/url.h"
#include "redis/link_poll.h"
#include "sqlite/caller.h"

#include <stdlib.h>

lq_broker_choice lq_broker_choose(const char *given)
{
    static const char *const names[] = {"LUNAQ_BROKER", "REDIS_URL",
                                        "REDIS_ADDR"};
    if (given && *given)
        return (lq_broker_choice){.url = given};
    for (size_t i = 0; i < LQ_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return (lq_broker_choice){.url = value, .source = names[i]};
    }
    return (lq_broker_choice){
        .url = LQ_BROKER_DEFAULT, .source = "the default", .is_default = true};
}

static int with_prefix(char **out, const char *url, const char *prefix,
                       lunaq_error *err)
{
    static const char variable[] = "LUNAQ_PREFIX";
    const char *value = getenv(variable);
    lq_url parsed;

    *out = NULL;
    if (prefix && *prefix)
        return lq_url_with_prefix(out, url, prefix, err);
    int rc = lq_url_parse(&parsed, url, err);
    if (rc)
        return rc;
    bool own = parsed.prefix != NULL;
    lq_url_release(&parsed);
    if (own || !value || !*value)
        return lq_url_with_prefix(out, url, NULL, err);
    rc = lq_url_with_prefix(out, url, value, err);
    if (rc)
        lq_error_prefix(err, "%s", variable);
    return rc;
}

int lq_broker_url(char **out, const char *url, const char *prefix,
                  const lunaq_redis_options *redis, lunaq_error *err)
{
    char *whole;

    *out = NULL;
    int rc = lq_redis_options_apply(&whole, url, redis, err);
    if (!rc)
        rc = with_prefix(out, whole, prefix, err);
    lq_free(whole);
    return rc;
}

int lq_broker_caller_open(lq_caller **out, const char *url, lunaq_error *err)
{
    lq_url parsed;

    *out = NULL;
    if (!lq_url_is_sqlite(url))
        return lq_redis_caller_open(out, url, err);
    int rc = lq_url_parse(&parsed, url, err);
    if (rc)
        return rc;
    const lq_sqlite_options options = {.normal = parsed.normal};
    rc = lq_sqlite_caller_open(out, parsed.host, &options, err);
    lq_url_release(&parsed);
    return rc;
}
