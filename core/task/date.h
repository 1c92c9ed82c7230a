/* Days since 1970-01-01 and dates of the Gregorian calendar. */
#ifndef LQ_DATE_H
#define LQ_DATE_H

#include <stdint.h>

typedef struct lq_date {
    int64_t year;
    unsigned month, day; /* from 1 */
} lq_date;

lq_date lq_date_of(int64_t days);
/** The day's number; day may lie outside the month (0 = the day before). */
int64_t lq_date_days(int64_t year, unsigned month, int64_t day);
/** 0 = Sunday. */
unsigned lq_date_weekday(int64_t days);

/** a / b, rounded down; b > 0. */
static inline int64_t lq_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

#endif
