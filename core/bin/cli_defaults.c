/* What the handler file of a type says of tasks that are enqueued without it,
 * as the live daemons tell it. */
#include "cli.h"

#include "base/str.h"

#include <string.h>

/* How well a handler's type fits: 0 not at all, a prefix by its length, the
 * type itself best. */
static size_t fit(const char *pattern, lq_str type)
{
    lq_str p = lq_str_c(pattern);
    if (lq_str_eq(p, type))
        return SIZE_MAX;
    bool prefix = p.len > 0 && p.p[p.len - 1] == '*';
    p.len -= prefix;
    return prefix && lq_str_starts(type, p) ? p.len + 1 : 0;
}

static const lunaq_handler_info *find(const lunaq_handler_list *list,
                                      const char *type)
{
    const lunaq_handler_info *best = NULL;
    size_t most = 0;
    for (size_t i = 0; i < lunaq_handler_list_count(list); i++) {
        const lunaq_handler_info *h = lunaq_handler_list_at(list, i);
        size_t n = fit(h->type, lq_str_c(type));
        if (n > most) {
            most = n;
            best = h;
        }
    }
    return best;
}

int64_t cli_or_none(int64_t n)
{
    return n == 0 ? -1 : n;
}

void cli_defaults_fill(const lunaq_handler_list *list, lunaq_task *task,
                       const struct cli_said *said)
{
    const lunaq_handler_info *h = list ? find(list, task->type) : NULL;
    if (!h)
        return;
    if (!task->queue && h->queue[0])
        task->queue = h->queue;
    if (!said->max_retry && h->max_retry >= 0)
        task->max_retry = cli_or_none(h->max_retry);
    if (!said->timeout && h->timeout_ms >= 0)
        task->timeout_ms = cli_or_none(h->timeout_ms);
    if (!said->retention && h->retention_ms > 0)
        task->retention_ms = h->retention_ms;
    if (!said->unique && h->unique_ms > 0)
        task->unique_ms = h->unique_ms;
}

void cli_defaults(struct cli *cli, lunaq_task *task, lunaq_handler_list **list)
{
    const struct cli_said said = {.max_retry = cli_get(cli, "max-retry"),
                                  .timeout = cli_get(cli, "timeout"),
                                  .retention = cli_get(cli, "retention"),
                                  .unique = cli_get(cli, "unique")};
    *list = NULL;
    if (lunaq_handler_list_open(cli->client, list, NULL))
        return; /* enqueue will say what is wrong */
    cli_defaults_fill(*list, task, &said);
}
