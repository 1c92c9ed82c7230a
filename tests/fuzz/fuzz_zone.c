/* Any bytes as a time zone's file.  One that is taken must answer for every
 * instant, with spans that hold what was asked for and follow each other; and
 * specs in it fire later than they are asked for. */
#include "fuzz.h"

#include "base/alloc.h"
#include "task/cron.h"

#define SPANS_MAX 300

static void walk(const lq_zone *z, int64_t from)
{
    int64_t at = from;
    for (int i = 0; i < SPANS_MAX; i++) {
        lq_zone_span span = lq_zone_at(z, at);
        CHECK(span.start <= at && at < span.end);
        CHECK(span.offset_s > -100000 && span.offset_s < 100000);
        if (span.end > (int64_t)1 << 40)
            return;
        at = span.end;
    }
}

static void fire(const lq_zone *z, const char *spec, enum lq_dst dst)
{
    static const int64_t starts[] = {0, INT64_C(1772359200123),
                                     INT64_C(4107542399999)};
    lq_cron c;
    CHECK(lq_cron_parse(&c, lq_str_c(spec), NULL) == LUNAQ_OK);
    c.zone = z;
    c.dst = dst;
    for (size_t i = 0; i < LQ_COUNT(starts); i++) {
        int64_t at = starts[i];
        for (int n = 0; n < 3; n++) {
            int64_t next = lq_cron_next_ms(&c, at);
            CHECK(next == 0 || next > at);
            if (!next)
                break;
            at = next;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const specs[] = {"30 2 * * *", "*/20 * * * *",
                                        "0 0 1 * *"};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_zone *z = NULL;
    if (lq_zone_parse(&z, lq_str_n(data, size), &err)) {
        CHECK(err.code == LUNAQ_EINVAL && err.message[0] && !z);
        CHECK(lq_alloc_live() == 0);
        return 0;
    }
    walk(z, -((int64_t)1 << 61));
    walk(z, -((int64_t)1 << 40));
    walk(z, 0);
    for (size_t i = 0; i < LQ_COUNT(specs); i++) {
        fire(z, specs[i], LQ_DST_VIXIE);
        fire(z, specs[i], LQ_DST_ROBFIG);
    }
    lq_zone_free(z);
    CHECK(lq_alloc_live() == 0);
    return 0;
}
