/* The rule at the end of a time zone's file: what holds after its last listed
 * change, as POSIX writes it in TZ ("CET-1CEST,M3.5.0,M10.5.0/3"). */
#ifndef LQ_ZONE_RULE_H
#define LQ_ZONE_RULE_H

#include "base/str.h"

/* A change of the clock each year. */
typedef struct lq_zone_change {
    char kind; /* 'M' month.week.day, 'J' day 1-365 without leap days, '0' day
                  0-365 with them */
    uint8_t month, week, weekday;
    uint16_t day;
    int32_t time_s; /* local, since midnight; may be negative or over a day */
} lq_zone_change;

typedef struct lq_zone_rule {
    int32_t std_s, dst_s; /* east of UTC */
    bool has_dst;
    lq_zone_change start, end; /* of dst */
} lq_zone_rule;

/* A time in which the offset stays the same: [start, end) in Unix seconds. */
typedef struct lq_zone_span {
    int64_t start, end; /* INT64_MIN, INT64_MAX: without */
    int32_t offset_s;   /* east of UTC */
    bool dst;
} lq_zone_span;

/** NULL, or what is wrong with the text. */
const char *lq_zone_rule_parse(lq_zone_rule *out, lq_str text);
/** The span that holds the instant. */
lq_zone_span lq_zone_rule_at(const lq_zone_rule *rule, int64_t unix_s);

#endif
