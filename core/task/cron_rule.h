/* When a periodic entry fires: its options as text → a rule. */
#ifndef LQ_CRON_RULE_H
#define LQ_CRON_RULE_H

#include "base/buf.h"
#include "task/cron.h"
#include "task/zone_file.h"

/* What becomes of instants that nobody fired, because no scheduler ran. */
enum lq_missed {
    LQ_MISSED_ONCE, /* the latest fires */
    LQ_MISSED_SKIP, /* none does */
    LQ_MISSED_ALL   /* each fires, at most the latest LQ_MISSED_MAX */
};

#define LQ_MISSED_MAX 100

/* As somebody wrote it; NULL and "" are not given. */
typedef struct lq_cron_text {
    const char *spec;
    const char *tz;
    const char *dst;    /* "vixie" (default), "robfig" */
    const char *missed; /* "once" (default), "skip", "all" */
} lq_cron_text;

typedef struct lq_cron_rule {
    lq_cron cron; /* its zone lives as long as the lq_zones; tz is not set */
    enum lq_missed missed;
} lq_cron_rule;

/** Reads the options; default_tz (NULL = UTC) counts where none is given.
 *  Appends to *shown (may be NULL) the spec with its zone, "CRON_TZ=Asia/Tokyo
 *  0 3 * * *": what others may take for the whole truth; in UTC and for
 * "@every" it is the spec as it stands.  LUNAQ_EINVAL: unknown word, no such
 * zone, a zone given twice, a faulty spec. */
int lq_cron_rule_read(lq_cron_rule *out, lq_buf *shown, lq_zones *zones,
                      const lq_cron_text *text, const char *default_tz,
                      lunaq_error *err);
/** Only whether it can be read, here and now. */
int lq_cron_rule_check(const lq_cron_text *text, lunaq_error *err);

const char *lq_missed_name(enum lq_missed missed);
const char *lq_dst_name(enum lq_dst dst);

#endif
