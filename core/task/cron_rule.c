/* The options of a periodic entry that say when it fires. */
#include "task/cron_rule.h"

static const char *const missed_names[] = {[LQ_MISSED_ONCE] = "once",
                                           [LQ_MISSED_SKIP] = "skip",
                                           [LQ_MISSED_ALL] = "all"};
static const char *const dst_names[] = {
    [LQ_DST_VIXIE] = "vixie", [LQ_DST_ROBFIG] = "robfig"};

const char *lq_missed_name(enum lq_missed missed)
{
    return missed_names[missed];
}

const char *lq_dst_name(enum lq_dst dst)
{
    return dst_names[dst];
}

/* Which of the words it is; the first when none is given; -1 = none of them. */
static int word_of(const char *const *words, size_t count, const char *text)
{
    if (!text || !*text)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0)
            return (int)i;
    return -1;
}

int lq_cron_rule_read(lq_cron_rule *out, lq_buf *shown, lq_zones *zones,
                      const lq_cron_text *text, const char *default_tz,
                      lunaq_error *err)
{
    int missed = word_of(missed_names, LQ_COUNT(missed_names), text->missed);
    int dst = word_of(dst_names, LQ_COUNT(dst_names), text->dst);
    lq_cron c;

    if (missed < 0)
        return lq_fail(err, LUNAQ_EINVAL,
                       "missed is \"%.40s\": use once, skip or all",
                       text->missed);
    if (dst < 0)
        return lq_fail(err, LUNAQ_EINVAL,
                       "dst is \"%.40s\": use vixie or robfig", text->dst);
    int rc = lq_cron_parse(&c, lq_str_c(text->spec), err);
    if (rc)
        return rc;
    bool option = text->tz && *text->tz;
    if (option && c.tz.p)
        return lq_fail(err, LUNAQ_EINVAL,
                       "tz is \"%.40s\", but the spec names a zone, too: leave "
                       "one of them out",
                       text->tz);
    lq_str tz = c.tz;
    if (!tz.p)
        tz = lq_str_c(option ? text->tz : default_tz);
    rc = lq_zones_get(zones, tz, &c.zone, err);
    if (rc)
        return rc;
    if (shown && !c.tz.p && c.zone && c.every_ms == 0)
        lq_buf_printf(shown, "CRON_TZ=%.*s ", LQ_STR_ARG(tz));
    if (shown)
        lq_buf_add_c(shown, text->spec);
    c.tz = (lq_str){0};
    c.dst = (enum lq_dst)dst;
    *out = (lq_cron_rule){.cron = c, .missed = (enum lq_missed)missed};
    return LUNAQ_OK;
}

int lq_cron_rule_check(const lq_cron_text *text, lunaq_error *err)
{
    lq_zones zones = {0};
    lq_cron_rule rule;
    int rc = lq_cron_rule_read(&rule, NULL, &zones, text, NULL, err);
    lq_zones_release(&zones);
    return rc;
}
