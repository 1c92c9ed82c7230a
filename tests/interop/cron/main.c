/* cron_next: the instants of cron specs, for a test to compare.
 *
 * Reads lines "zone <tab> spec <tab> after <tab> count" and answers each with
 * the count following instants (Unix seconds, 0 = never) of the rule "robfig",
 * or with "! why" when the spec is refused. */
#include <stdio.h>
#include <stdlib.h>

#include "task/cron_rule.h"

int main(void)
{
    char line[1000];
    lq_zones zones = {0};
    while (fgets(line, sizeof line, stdin)) {
        char *at = line, *zone = strsep(&at, "\t"), *spec = strsep(&at, "\t");
        char *after = strsep(&at, "\t");
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_cron_rule rule;
        if (!at)
            return 1;
        const lq_cron_text text = {spec, zone, "robfig", NULL};
        if (lq_cron_rule_read(&rule, NULL, &zones, &text, NULL, &err)) {
            printf("! %s\n", err.message);
        } else {
            int64_t ms = strtoll(after, NULL, 10) * 1000;
            for (long n = strtol(at, NULL, 10); n > 0; n--) {
                ms = lq_cron_next_ms(&rule.cron, ms);
                printf("%lld%s", (long long)ms / 1000, n > 1 && ms ? " " : "");
                if (!ms)
                    break;
            }
            putchar('\n');
        }
        fflush(stdout);
    }
    lq_zones_release(&zones);
    return 0;
}
