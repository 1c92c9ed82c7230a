/* The public functions that see more than one layer: which broker a client
 * talks to. */
#include "client/client.h"

#include "api/broker_choice.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/sized.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static_assert(sizeof(lunaq_client_options) ==
                  offsetof(lunaq_client_options, redis) + sizeof(void *),
              "a new field must not hide in padding");

const char *lunaq_version(void)
{
    return LUNAQ_VERSION;
}

int lunaq_client_open(lunaq_client **out, const lunaq_client_options *options,
                      lunaq_error *err)
{
    *out = NULL;
    lunaq_client_options o = LUNAQ_CLIENT_OPTIONS_INIT;
    if (options) {
        int rc =
            lq_sized_copy(&o, sizeof o, options, "lunaq_client_options", err);
        if (rc)
            return rc;
    }
    lq_broker_choice broker = lq_broker_choose(o.broker);
    lq_caller *caller = NULL;
    /* A server makes its queue file; one that a client made in the wrong
     * folder would swallow tasks without a word. */
    if (broker.is_default && access(strchr(broker.url, ':') + 1, F_OK) != 0)
        return lq_fail(err, LUNAQ_ENOTFOUND,
                       "no queue here: there is no %s in this folder; start "
                       "lunaqd here first, or set LUNAQ_BROKER",
                       strchr(broker.url, ':') + 1);
    char *url = NULL;
    int rc = lq_broker_url(&url, broker.url, o.prefix, o.redis, err);
    if (!rc)
        rc = lq_broker_caller_open(&caller, url, err);
    lq_free(url);
    if (rc) {
        if (broker.source)
            lq_error_prefix(err, "%s", broker.source);
        return rc;
    }
    rc = lq_client_new(out, caller, o.timeout_ms, err);
    if (!rc)
        rc = lq_client_set_durable(*out, o.durable, err);
    if (rc) {
        lunaq_client_close(*out);
        *out = NULL;
    }
    return rc;
}
