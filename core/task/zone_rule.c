/* The POSIX rule of a zone: text → numbers → the changes of a year. */
#include "task/zone_rule.h"

#include "task/date.h"

#define DAY_S 86400

/* ---- parsing ------------------------------------------------------------- */

static bool take(lq_str *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = lq_str_n(s->p + 1, s->len - 1);
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Three letters or more, or anything between < and >. */
static bool take_name(lq_str *s)
{
    size_t n = 0;
    if (take(s, '<')) {
        while (n < s->len && (is_letter(s->p[n]) || is_digit(s->p[n]) ||
                              s->p[n] == '+' || s->p[n] == '-'))
            n++;
        *s = lq_str_n(s->p + n, s->len - n);
        return n > 0 && take(s, '>');
    }
    while (n < s->len && is_letter(s->p[n]))
        n++;
    *s = lq_str_n(s->p + n, s->len - n);
    return n >= 3;
}

static bool take_number(lq_str *s, int max, int *out)
{
    size_t n = 0;
    *out = 0;
    while (n < s->len && is_digit(s->p[n])) {
        *out = *out * 10 + (s->p[n++] - '0');
        if (*out > max)
            return false;
    }
    *s = lq_str_n(s->p + n, s->len - n);
    return n > 0;
}

/* [+-]hours[:minutes[:seconds]] */
static bool take_time(lq_str *s, int hours_max, int32_t *seconds)
{
    bool minus = take(s, '-');
    int h, m = 0, sec = 0;
    if (!minus)
        take(s, '+');
    if (!take_number(s, hours_max, &h))
        return false;
    if (take(s, ':')) {
        if (!take_number(s, 59, &m))
            return false;
        if (take(s, ':') && !take_number(s, 59, &sec))
            return false;
    }
    *seconds = h * 3600 + m * 60 + sec;
    if (minus)
        *seconds = -*seconds;
    return true;
}

static bool take_change(lq_str *s, lq_zone_change *c)
{
    int a, b, d;
    *c = (lq_zone_change){.time_s = 2 * 3600};
    if (!take(s, ','))
        return false;
    if (take(s, 'M')) {
        if (!take_number(s, 12, &a) || a < 1 || !take(s, '.') ||
            !take_number(s, 5, &b) || b < 1 || !take(s, '.') ||
            !take_number(s, 6, &d))
            return false;
        c->kind = 'M';
        c->month = (uint8_t)a;
        c->week = (uint8_t)b;
        c->weekday = (uint8_t)d;
    } else {
        c->kind = take(s, 'J') ? 'J' : '0';
        if (!take_number(s, 365, &a) || (c->kind == 'J' && a < 1))
            return false;
        c->day = (uint16_t)a;
    }
    /* RFC 8536 allows a week's hours to either side. */
    return !take(s, '/') || take_time(s, 167, &c->time_s);
}

const char *lq_zone_rule_parse(lq_zone_rule *out, lq_str s)
{
    lq_zone_rule r = {0};
    if (!take_name(&s))
        return "has no name of its standard time";
    if (!take_time(&s, 24, &r.std_s))
        return "has no offset";
    r.std_s = -r.std_s; /* POSIX counts to the west */
    if (s.len > 0) {
        r.has_dst = true;
        r.dst_s = r.std_s + 3600;
        if (!take_name(&s))
            return "has no name of its summer time";
        if (s.len > 0 && s.p[0] != ',') {
            if (!take_time(&s, 24, &r.dst_s))
                return "has an offset that is none";
            r.dst_s = -r.dst_s;
        }
        if (!take_change(&s, &r.start) || !take_change(&s, &r.end))
            return "does not say when summer time begins and ends";
    }
    if (s.len > 0)
        return "has something behind its end";
    *out = r;
    return NULL;
}

/* ---- the changes of a year ----------------------------------------------- */

static int64_t change_day(const lq_zone_change *c, int64_t year)
{
    int64_t first = lq_date_days(year, 1, 1);
    if (c->kind == '0')
        return first + c->day;
    if (c->kind == 'J') {
        bool leap = lq_date_days(year, 3, 1) - first == 60;
        return first + c->day - 1 + (leap && c->day >= 60);
    }
    int64_t month = lq_date_days(year, c->month, 1);
    int64_t next = c->month == 12 ? lq_date_days(year + 1, 1, 1)
                                  : lq_date_days(year, c->month + 1U, 1);
    int64_t day = month + (c->weekday + 7U - lq_date_weekday(month)) % 7 +
                  INT64_C(7) * (c->week - 1);
    return day < next ? day : day - 7; /* week 5 is the last one */
}

static int64_t change_at(const lq_zone_change *c, int64_t year,
                         int32_t offset_before)
{
    return change_day(c, year) * DAY_S + c->time_s - offset_before;
}

struct turn {
    int64_t at;
    bool dst; /* from here on */
};

/* In order; of two at one instant the end of the summer before comes first, so
 * that the next one, which begins then, counts. */
static void sort(struct turn *turns, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0; k--) {
            struct turn *a = &turns[k - 1], *b = &turns[k], swap = *a;
            if (a->at < b->at || (a->at == b->at && (!a->dst || b->dst)))
                break;
            *a = *b;
            *b = swap;
        }
}

/* Times may reach a week over the year's edge: its neighbours count, too. */
lq_zone_span lq_zone_rule_at(const lq_zone_rule *rule, int64_t unix_s)
{
    lq_zone_span span = {INT64_MIN, INT64_MAX, rule->std_s, false};
    struct turn turns[10];
    size_t n = 0;
    if (!rule->has_dst)
        return span;
    int64_t year = lq_date_of(lq_floor_div(unix_s, DAY_S)).year;
    for (int64_t y = year - 2; y <= year + 2; y++) {
        turns[n++] =
            (struct turn){change_at(&rule->start, y, rule->std_s), true};
        turns[n++] =
            (struct turn){change_at(&rule->end, y, rule->dst_s), false};
    }
    sort(turns, n);
    for (size_t i = 0; i < n; i++) {
        if (turns[i].at > unix_s) {
            span.end = turns[i].at;
            break;
        }
        span.start = turns[i].at;
        span.dst = turns[i].dst;
    }
    span.offset_s = span.dst ? rule->dst_s : rule->std_s;
    return span;
}
