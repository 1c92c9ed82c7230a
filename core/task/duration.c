/* Durations: text → milliseconds, and back for Go and for people. */
#include "task/duration.h"

#include <math.h>
#include <stdio.h>

/* The longest duration that Go can hold, about 292 years. */
#define MAX_MS INT64_C(9223372036854)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define S_PER_HOUR INT64_C(3600)
#define S_PER_DAY INT64_C(86400)

struct unit {
    lq_str name;
    int64_t ns;
};

static const struct unit our_units[] = {
    {{"ms", 2}, NS_PER_MS},          {{"s", 1}, NS_PER_S},
    {{"m", 1}, 60 * NS_PER_S},       {{"h", 1}, S_PER_HOUR *NS_PER_S},
    {{"d", 1}, S_PER_DAY *NS_PER_S}, {{"w", 1}, 7 * S_PER_DAY *NS_PER_S},
};

static const struct unit go_units[] = {
    {{"ns", 2}, 1},
    {{"us", 2}, 1000},
    {{"\xc2\xb5s", 3}, 1000}, /* micro sign */
    {{"\xce\xbcs", 3}, 1000}, /* Greek mu */
    {{"ms", 2}, NS_PER_MS},
    {{"s", 1}, NS_PER_S},
    {{"m", 1}, 60 * NS_PER_S},
    {{"h", 1}, S_PER_HOUR *NS_PER_S},
};

static bool is_digit(lq_str s)
{
    return s.len > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

static void skip(lq_str *s, size_t n)
{
    s->p += n;
    s->len -= n;
}

/* Reads digits into *value; false when there are too many. */
static bool take_digits(lq_str *s, uint64_t *value)
{
    for (; is_digit(*s); skip(s, 1)) {
        if (*value > UINT64_MAX / 10 - 1)
            return false;
        *value = *value * 10 + (uint64_t)(s->p[0] - '0');
    }
    return true;
}

/* The unit that s begins with: letters up to the next digit or dot. */
static const struct unit *take_unit(lq_str *s, const struct unit *units,
                                    size_t count)
{
    size_t len = 0;
    while (len < s->len && s->p[len] != '.' &&
           (s->p[len] < '0' || s->p[len] > '9'))
        len++;
    for (size_t i = 0; i < count; i++)
        if (lq_str_eq(lq_str_n(s->p, len), units[i].name)) {
            skip(s, len);
            return &units[i];
        }
    return NULL;
}

/* One "1.5h".  seconds_without: what a number without a unit is, or NULL.
 * Returns NULL or why not. */
static const char *take_part(lq_str *s, const struct unit *units, size_t count,
                             const struct unit *seconds_without, uint64_t *ns)
{
    uint64_t whole = 0;
    double fraction = 0, scale = 1;
    size_t before = s->len, digits;
    if (!take_digits(s, &whole))
        return "it is too long";
    digits = before - s->len;
    if (s->len > 0 && s->p[0] == '.') {
        skip(s, 1);
        for (; is_digit(*s); skip(s, 1), digits++)
            fraction += (s->p[0] - '0') * (scale /= 10);
    }
    if (digits == 0)
        return "a number is missing";
    const struct unit *unit =
        s->len == 0 ? seconds_without : take_unit(s, units, count);
    if (!unit)
        return s->len == 0 ? "a unit is missing" : "the unit is unknown";
    uint64_t limit = (uint64_t)MAX_MS * NS_PER_MS;
    if (whole > limit / (uint64_t)unit->ns)
        return "it is too long";
    uint64_t part = whole * (uint64_t)unit->ns +
                    (uint64_t)(fraction * (double)unit->ns + 0.5);
    if (part > limit - *ns)
        return "it is too long";
    *ns += part;
    return NULL;
}

static int parse(lq_str text, const struct unit *units, size_t count,
                 const struct unit *seconds_without, const char *known,
                 int64_t *ms, lunaq_error *err)
{
    lq_str rest = text;
    uint64_t ns = 0;
    const char *why = text.len == 0 ? "it is empty" : NULL;
    if (text.len > 0 && text.p[0] == '-')
        why = "it is negative";
    while (!why && rest.len > 0) {
        /* Only a text that is one number altogether may lack its unit. */
        why = take_part(&rest, units, count, seconds_without, &ns);
        seconds_without = NULL;
    }
    if (why)
        return lq_fail(err, LUNAQ_EINVAL, "duration \"%.*s\": %s (%s)",
                       text.len < 40 ? (int)text.len : 40, text.p ? text.p : "",
                       why, known);
    *ms = (int64_t)(ns / NS_PER_MS);
    return LUNAQ_OK;
}

int lq_duration_parse(lq_str text, int64_t *ms, lunaq_error *err)
{
    return parse(text, our_units, LQ_COUNT(our_units), &our_units[1],
                 "like 250ms, 90s, 5m, 1h30m, 7d", ms, err);
}

int lq_duration_parse_go(lq_str text, int64_t *ms, lunaq_error *err)
{
    if (lq_str_eq(text, LQ_STR("0"))) {
        *ms = 0;
        return LUNAQ_OK;
    }
    return parse(text, go_units, LQ_COUNT(go_units), NULL,
                 "like 500ms, 90s, 1h30m, 24h", ms, err);
}

void lq_duration_go(lq_buf *out, int64_t ms)
{
    uint64_t n = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        lq_buf_add_char(out, '-');
    if (n < 1000) {
        if (n == 0)
            lq_buf_add_c(out, "0s");
        else
            lq_buf_printf(out, "%dms", (int)n);
        return;
    }
    uint64_t s = n / 1000, fraction = n % 1000;
    if (s >= 3600)
        lq_buf_printf(out, "%lluh", (unsigned long long)(s / 3600));
    if (s >= 60)
        lq_buf_printf(out, "%dm", (int)(s / 60 % 60));
    lq_buf_printf(out, "%d", (int)(s % 60));
    if (fraction) {
        int digits = fraction % 100 == 0 ? 1 : fraction % 10 == 0 ? 2 : 3;
        int shown = (int)(digits == 1   ? fraction / 100
                          : digits == 2 ? fraction / 10
                                        : fraction);
        lq_buf_printf(out, ".%0*d", digits, shown);
    }
    lq_buf_add_char(out, 's');
}

/* Adds "1.2ms", without the ".0" of "3.0ms". */
static void add_rounded(lq_buf *out, double value, const char *unit)
{
    if (value < 0.995 && value >= 0.005) {
        int hundredths = (int)(value * 100 + 0.5);
        if (hundredths % 10 == 0)
            lq_buf_printf(out, "0.%d%s", hundredths / 10, unit);
        else
            lq_buf_printf(out, "0.%02d%s", hundredths, unit);
        return;
    }
    double tenths = floor(value * 10 + 0.5);
    if (fmod(tenths, 10) == 0 || value >= 99.95)
        lq_buf_printf(out, "%.0f%s", floor(value + 0.5), unit);
    else
        lq_buf_printf(out, "%d.%d%s", (int)tenths / 10, (int)tenths % 10, unit);
}

void lq_duration_text(lq_buf *out, double ms)
{
    if (!(ms >= 0)) { /* NaN too */
        ms = ms < 0 ? -ms : 0;
        lq_buf_add_char(out, '-');
    }
    if (ms < 999.5) {
        add_rounded(out, ms, "ms");
        return;
    }
    if (ms < 9950) {
        add_rounded(out, ms / 1000, "s");
        return;
    }
    double whole = floor(ms / 1000 + 0.5);
    int64_t s = whole < 9e15 ? (int64_t)whole : INT64_C(9000000000000000);
    if (s < 60) {
        lq_buf_printf(out, "%ds", (int)s);
        return;
    }
    static const struct {
        int64_t s, sub_s; /* a unit and the next smaller one */
        const char *name, *sub;
    } steps[] = {
        {86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}};
    for (size_t i = 0; i < LQ_COUNT(steps); i++) {
        if (s < steps[i].s)
            continue;
        lq_buf_printf(out, "%lld%s", (long long)(s / steps[i].s),
                      steps[i].name);
        int64_t sub = s % steps[i].s / steps[i].sub_s;
        if (sub)
            lq_buf_printf(out, "%d%s", (int)sub, steps[i].sub);
        return;
    }
}
