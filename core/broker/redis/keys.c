#include "redis/keys.h"

#include <stdio.h>
#include <time.h>

void lq_cmd_queue(lq_cmd *c, lq_str queue, const char *rest)
{
    lq_cmd_queue_of(c, queue, rest, (lq_str){0});
}

void lq_cmd_queue_of(lq_cmd *c, lq_str queue, const char *rest, lq_str more)
{
    const lq_str parts[] = {LQ_STR("asynq:{"), queue, LQ_STR("}:"),
                            lq_str_c(rest), more};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_own(lq_cmd *c, lq_str queue, const char *rest)
{
    const lq_str parts[] = {LQ_STR("lunaq:{"), queue, LQ_STR("}:"),
                            lq_str_c(rest)};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_server(lq_cmd *c, const char *head, lq_str host, int32_t pid,
                   lq_str server_id)
{
    char number[24];
    snprintf(number, sizeof(number), ":%d:", pid);
    const lq_str parts[] = {lq_str_c(head),   LQ_STR("{"), host,
                            lq_str_c(number), server_id,   LQ_STR("}")};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_token(lq_cmd *c, uint32_t token)
{
    char key[40];
    snprintf(key, sizeof(key), "lunaq:token:%u", token);
    lq_cmd_c(c, key);
}

void lq_cmd_day(lq_cmd *c, lq_str queue, const char *name, int64_t now_ms)
{
    char day[40];
    struct tm tm;
    time_t t = (time_t)(now_ms / 1000);
    if (!gmtime_r(&t, &tm))
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    snprintf(day, sizeof(day), ":%04d-%02d-%02d", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday);
    lq_cmd_queue_of(c, queue, name, lq_str_c(day));
}
