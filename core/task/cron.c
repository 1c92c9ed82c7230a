/* Cron: spec → bit sets, by the rules of robfig/cron v3.
 *
 * One of them surprises: when neither day field holds a star, a day matches
 * that fits either of them ("0 0 13 * 5" fires on the 13th and on every
 * Friday); a star with a step, as in every second day, does not count as a
 * star.
 */
#include "task/cron.h"

#include "task/duration.h"

/* ---- parsing ------------------------------------------------------------ */

struct field {
    const char *name;
    unsigned min, max;
    const char *words; /* three letters each, from `min` on; NULL = none */
    const char *hint;  /* beside the range, in messages */
};

static const struct field fields[5] = {
    {"minute", 0, 59, NULL, ""},
    {"hour", 0, 23, NULL, ""},
    {"day of month", 1, 31, NULL, ""},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec",
     ", or three letters"},
    {"day of week", 0, 6, "sunmontuewedthufrisat",
     ", Sunday is 0, or three letters"},
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static lq_str trim(lq_str s)
{
    while (s.len > 0 && is_blank(s.p[0]))
        s = lq_str_n(s.p + 1, s.len - 1);
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

/* Cuts off and returns what stands before `mark`; all of s when it is not
 * there, and s->p becomes NULL. */
static lq_str cut(lq_str *s, char mark)
{
    lq_str head = *s;
    const char *at = s->len ? memchr(s->p, mark, s->len) : NULL;
    if (!at) {
        *s = (lq_str){0};
        return head;
    }
    head.len = (size_t)(at - s->p);
    *s = lq_str_n(at + 1, s->len - head.len - 1);
    return head;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool parse_value(const struct field *f, lq_str s, unsigned *value)
{
    if (f->words && s.len == 3) {
        char word[3] = {lower(s.p[0]), lower(s.p[1]), lower(s.p[2])};
        for (unsigned i = 0; i <= f->max - f->min; i++)
            if (memcmp(f->words + (size_t)3 * i, word, 3) == 0) {
                *value = f->min + i;
                return true;
            }
    }
    int64_t n;
    if (s.len == 0 || s.p[0] == '-' || !lq_str_int64(s, &n) || n > 1000000)
        return false;
    *value = (unsigned)n;
    return true;
}

/* What a field's list says beside its values. */
struct marks {
    bool star; /* an item that is a star, without a step */
    bool open; /* an item without an end: a star, or "N/step" */
};

/* One item of a list: "*", "N", "N-M", each with "/step".  NULL or why not. */
static const char *parse_item(const struct field *f, lq_str item,
                              uint64_t *bits, struct marks *marks)
{
    lq_str range = cut(&item, '/'), step_text = item;
    lq_str first = cut(&range, '-'), last_text = range;
    unsigned from = f->min, to = f->max, step = 1;
    bool stepped = step_text.p != NULL, is_star = false;
    if (stepped) {
        if (memchr(step_text.p, '/', step_text.len))
            return "has more than one '/'";
        if (!parse_value(&(struct field){0}, step_text, &step))
            return "has a step that is not a number";
        if (step == 0)
            return "has a step of 0";
    }
    if (lq_str_eq(first, LQ_STR("*")) || lq_str_eq(first, LQ_STR("?"))) {
        if (last_text.p)
            return "has a range from a star";
        is_star = true;
    } else {
        if (!parse_value(f, first, &from))
            return "is not a number";
        if (last_text.p) {
            if (last_text.len && memchr(last_text.p, '-', last_text.len))
                return "has more than one '-'";
            if (!parse_value(f, last_text, &to))
                return "has a range whose end is not a number";
        } else if (!stepped) {
            to = from; /* but "N/step" goes on to the maximum */
        }
    }
    if (from < f->min || to > f->max)
        return "is out of range";
    if (from > to)
        return "is a range that runs backwards";
    for (uint64_t i = from; i <= to; i += step)
        *bits |= UINT64_C(1) << i;
    if (is_star && step == 1)
        marks->star = true;
    if (is_star || (stepped && !last_text.p))
        marks->open = true;
    return NULL;
}

static int parse_field(const struct field *f, lq_str text, uint64_t *bits,
                       struct marks *marks, lunaq_error *err)
{
    *bits = 0;
    while (text.len > 0) {
        lq_str item = cut(&text, ',');
        if (item.len == 0)
            continue; /* robfig drops empty items */
        const char *why = parse_item(f, item, bits, marks);
        if (why)
            return lq_fail(err, LUNAQ_EINVAL,
                           "cron: %s: \"%.*s\" %s (%u to %u%s)", f->name,
                           item.len < 40 ? (int)item.len : 40, item.p, why,
                           f->min, f->max, f->hint);
    }
    return LUNAQ_OK;
}

static int parse_fields(lq_cron *out, lq_str spec, lunaq_error *err)
{
    lq_str parts[5] = {{0}};
    size_t count = 0;
    for (size_t i = 0; i < spec.len;) {
        size_t start = i;
        while (i < spec.len && !is_blank(spec.p[i]))
            i++;
        if (i > start && count++ < LQ_COUNT(parts))
            parts[count - 1] = lq_str_n(spec.p + start, i - start);
        while (i < spec.len && is_blank(spec.p[i]))
            i++;
    }
    if (count != LQ_COUNT(parts))
        return lq_fail(err, LUNAQ_EINVAL,
                       "cron: \"%.*s\" has %zu field%s, not 5 (minute hour "
                       "day-of-month month day-of-week%s)",
                       spec.len < 60 ? (int)spec.len : 60, spec.p, count,
                       count == 1 ? "" : "s",
                       count == 6 ? "; seconds are for \"@every 5s\"" : "");
    uint64_t *bits[5] = {&out->minute, &out->hour, &out->dom, &out->month,
                         &out->dow};
    struct marks marks[5] = {{0}};
    for (size_t i = 0; i < 5; i++) {
        int rc = parse_field(&fields[i], parts[i], bits[i], &marks[i], err);
        if (rc)
            return rc;
    }
    out->dom_star = marks[2].star;
    out->dow_star = marks[4].star;
    out->often = marks[0].open || marks[1].open;
    return LUNAQ_OK;
}

static int parse_descriptor(lq_cron *out, lq_str spec, lunaq_error *err)
{
    static const struct {
        const char *name, *fields;
    } known[] = {
        {"@yearly", "0 0 1 1 *"},  {"@annually", "0 0 1 1 *"},
        {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
        {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    for (size_t i = 0; i < LQ_COUNT(known); i++)
        if (lq_str_eq(spec, lq_str_c(known[i].name)))
            return parse_fields(out, lq_str_c(known[i].fields), err);
    lq_str every = LQ_STR("@every ");
    if (!lq_str_starts(spec, every))
        return lq_fail(err, LUNAQ_EINVAL,
                       "cron: \"%.*s\" is unknown (known: @yearly @annually "
                       "@monthly @weekly @daily @midnight @hourly, and @every "
                       "with a duration)",
                       spec.len < 40 ? (int)spec.len : 40, spec.p);
    int64_t ms;
    spec = lq_str_n(spec.p + every.len, spec.len - every.len);
    int rc = lq_duration_parse_go(spec, &ms, err);
    if (rc) {
        lq_error_prefix(err, "cron: @every");
        return rc;
    }
    out->every_ms = ms < 1000 ? 1000 : ms / 1000 * 1000;
    return LUNAQ_OK;
}

/* Takes a "TZ=… " off the head of spec. */
static void take_zone(lq_str *spec, lq_str *zone)
{
    if (!lq_str_starts(*spec, LQ_STR("TZ=")) &&
        !lq_str_starts(*spec, LQ_STR("CRON_TZ=")))
        return;
    cut(spec, '=');
    *zone = cut(spec, ' ');
    *spec = trim(*spec);
}

int lq_cron_parse(lq_cron *out, lq_str spec, lunaq_error *err)
{
    lq_cron c = {0};
    spec = trim(spec);
    take_zone(&spec, &c.tz);
    if (spec.len == 0)
        return lq_fail(err, LUNAQ_EINVAL, "cron: the spec is empty");
    int rc = spec.p[0] == '@' ? parse_descriptor(&c, spec, err)
                              : parse_fields(&c, spec, err);
    if (rc == LUNAQ_OK)
        *out = c;
    return rc;
}
