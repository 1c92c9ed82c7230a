/* Any text as a cron spec, a duration, a name and a number.  A spec that is
 * taken must fire later than it is asked for, at a minute that it names. */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "task/cron.h"
#include "task/duration.h"
#include "task/task.h"

#include <time.h>

static void check_instant(const lq_cron *c, int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm t;
    CHECK(ms % 60000 == 0 && gmtime_r(&s, &t));
    bool dom = c->dom >> t.tm_mday & 1, dow = c->dow >> t.tm_wday & 1;
    CHECK(c->minute >> t.tm_min & 1);
    CHECK(c->hour >> t.tm_hour & 1);
    CHECK(c->month >> (t.tm_mon + 1) & 1);
    CHECK(c->dom_star || c->dow_star ? dom && dow : dom || dow);
}

static void try_cron(lq_str text)
{
    static const int64_t starts[] = {0, 999, INT64_C(1772359200123),
                                     INT64_C(4107542399999)};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_cron c;
    if (lq_cron_parse(&c, text, &err)) {
        CHECK(err.code == LUNAQ_EINVAL && err.message[0]);
        return;
    }
    for (size_t i = 0; i < LQ_COUNT(starts); i++) {
        int64_t next = lq_cron_next_ms(&c, starts[i]);
        lq_cron walked = c; /* where no clock changes, both ways agree */
        walked.dst = LQ_DST_ROBFIG;
        CHECK(lq_cron_next_ms(&walked, starts[i]) == next);
        if (c.every_ms) {
            CHECK(c.every_ms >= 1000 && c.every_ms % 1000 == 0);
            CHECK(next == (starts[i] + c.every_ms) / 1000 * 1000);
        } else if (next) {
            CHECK(next > starts[i]);
            check_instant(&c, next);
        }
    }
}

static void try_duration(lq_str text)
{
    int64_t ms, back;
    lq_buf b;
    lq_buf_init(&b, 0);
    if (lq_duration_parse(text, &ms, NULL) == LUNAQ_OK) {
        CHECK(ms >= 0);
        lq_duration_text(&b, (double)ms);
    }
    lq_buf_clear(&b);
    if (lq_duration_parse_go(text, &ms, NULL) == LUNAQ_OK) {
        CHECK(ms >= 0);
        lq_duration_go(&b, ms);
        CHECK(lq_duration_parse_go(lq_buf_str(&b), &back, NULL) == LUNAQ_OK);
        CHECK(back == ms);
    }
    lq_buf_release(&b);
}

static void try_strings(lq_str text)
{
    int64_t value;
    lq_str_int64(text, &value);
    lq_name_check("queue", text, NULL);
    char *clean = lq_malloc(text.len);
    size_t n = lq_utf8_clean(text, clean, text.len);
    CHECK(n == text.len && lq_utf8_valid(lq_str_n(clean, n)));
    CHECK(!lq_utf8_valid(text) || lq_str_eq(text, lq_str_n(clean, n)));
    n = lq_utf8_clean(text, clean, text.len / 2);
    CHECK(n <= text.len / 2 && lq_utf8_valid(lq_str_n(clean, n)));
    lq_free(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lq_str text = lq_str_n(data, size);
    try_cron(text);
    try_duration(text);
    try_strings(text);
    CHECK(lq_alloc_live() == 0);
    return 0;
}
