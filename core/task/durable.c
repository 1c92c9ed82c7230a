#include "task/durable.h"

static const char *const names[] = {
    [LUNAQ_DURABLE_DEFAULT] = "default",
    [LUNAQ_DURABLE_NONE] = "none",
    [LUNAQ_DURABLE_REPLICA] = "replica",
    [LUNAQ_DURABLE_FSYNC] = "fsync",
};

const char *lunaq_durable_name(lunaq_durable durable)
{
    size_t i = (size_t)durable;
    return i < LQ_COUNT(names) ? names[i] : "unknown";
}

bool lq_durable_parse(lq_str name, int64_t *durable)
{
    for (size_t i = LUNAQ_DURABLE_NONE; i < LQ_COUNT(names); i++)
        if (lq_str_eq(name, lq_str_c(names[i]))) {
            *durable = (int64_t)i;
            return true;
        }
    return false;
}

int lq_durable_check(int64_t durable, lunaq_error *err)
{
    if (durable >= 0 && durable < (int64_t)LQ_COUNT(names))
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_EINVAL,
                   "durable: %lld: give none, replica or fsync",
                   (long long)durable);
}
