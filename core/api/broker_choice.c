/* Which broker it is when the caller did not say. */
#include "api/broker_choice.h"

#include "base/str.h"

#include <stdlib.h>

lq_broker_choice lq_broker_choose(const char *given)
{
    static const char *const names[] = {"LUNAQ_BROKER", "REDIS_URL",
                                        "REDIS_ADDR"};
    if (given && *given)
        return (lq_broker_choice){given, NULL};
    for (size_t i = 0; i < LQ_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return (lq_broker_choice){value, names[i]};
    }
    return (lq_broker_choice){LQ_BROKER_DEFAULT, "the default"};
}
