/* Days and dates, by eras of 400 years that begin on March 1st, so that the
 * leap day is the last of its year. */
#include "task/date.h"

#define ERA_DAYS 146097
#define MARCH_0000 719468 /* days from 0000-03-01 to 1970-01-01 */

lq_date lq_date_of(int64_t days)
{
    days += MARCH_0000;
    int64_t era = lq_floor_div(days, ERA_DAYS);
    int64_t doe = days - era * ERA_DAYS;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153; /* March is 0 */
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    return (lq_date){
        .year = yoe + era * 400 + (month <= 2),
        .month = month,
        .day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
    };
}

int64_t lq_date_days(int64_t year, unsigned month, int64_t day)
{
    year -= month <= 2;
    int64_t era = lq_floor_div(year, 400), yoe = year - era * 400;
    int64_t mp = month > 2 ? month - 3 : month + 9;
    int64_t doy = (153 * mp + 2) / 5 + day - 1;
    return era * ERA_DAYS + yoe * 365 + yoe / 4 - yoe / 100 + doy - MARCH_0000;
}

unsigned lq_date_weekday(int64_t days)
{
    return (unsigned)((days % 7 + 11) % 7); /* 1970 began on a Thursday, 4 */
}
