/* The arrows between the states of a task, as a table. */
#include "task/state.h"

#define GONE LUNAQ_STATE_ANY
#define ACTIVE LUNAQ_ACTIVE
#define PENDING LUNAQ_PENDING
#define SCHEDULED LUNAQ_SCHEDULED
#define RETRY LUNAQ_RETRY
#define ARCHIVED LUNAQ_ARCHIVED
#define COMPLETED LUNAQ_COMPLETED
#define AGGREGATING LUNAQ_AGGREGATING

/* If you add an arrow: the drawing in state.h shows the common ones, and the
 * brokers' scripts carry it out. */
static const lq_arrow arrows[] = {
    {GONE, PENDING, "enqueue", "it may run at once"},
    {GONE, SCHEDULED, "enqueue", "it has a time"},
    {GONE, AGGREGATING, "enqueue", "it has a group"},

    {SCHEDULED, PENDING, "forward", "its time has come"},
    {SCHEDULED, AGGREGATING, "forward", "its time has come, it has a group"},
    {RETRY, PENDING, "forward", "the delay is over"},
    {RETRY, AGGREGATING, "forward", "the delay is over, it has a group"},

    {PENDING, ACTIVE, "take", "a slot is free"},
    {ACTIVE, GONE, "done", "success without retention, or discarded"},
    {ACTIVE, COMPLETED, "done", "success, kept for its retention"},
    {ACTIVE, RETRY, "retry", "it failed, attempts are left"},
    {ACTIVE, ARCHIVED, "archive", "no attempts left, skip, cancel, poison"},
    {ACTIVE, SCHEDULED, "snooze", "not now: it asked, or a cap or suspicion"},
    {ACTIVE, PENDING, "give back", "shutdown, or recovered from a dead holder"},

    {AGGREGATING, GONE, "aggregate", "its group was handled"},
    {COMPLETED, GONE, "clean", "its retention is over"},
    {ARCHIVED, GONE, "trim", "the archive is full, or it is too old"},

    {PENDING, ARCHIVED, "archive", "by hand, or canceled"},
    {SCHEDULED, ARCHIVED, "archive", "by hand, or canceled"},
    {RETRY, ARCHIVED, "archive", "by hand, or canceled"},
    {AGGREGATING, ARCHIVED, "archive", "by hand, or canceled"},
    {COMPLETED, ARCHIVED, "archive", "by hand"},
    {SCHEDULED, PENDING, "run", "by hand"},
    {RETRY, PENDING, "run", "by hand"},
    {AGGREGATING, PENDING, "run", "by hand"},
    {ARCHIVED, PENDING, "run", "by hand"},
    {COMPLETED, PENDING, "run", "by hand"},
    {PENDING, GONE, "delete", "by hand"},
    {SCHEDULED, GONE, "delete", "by hand"},
    {RETRY, GONE, "delete", "by hand"},
    {AGGREGATING, GONE, "delete", "by hand"},
    {ARCHIVED, GONE, "delete", "by hand"},
    {COMPLETED, GONE, "delete", "by hand"},
};

static const char *const names[] = {
    [ACTIVE] = "active",           [PENDING] = "pending",
    [SCHEDULED] = "scheduled",     [RETRY] = "retry",
    [ARCHIVED] = "archived",       [COMPLETED] = "completed",
    [AGGREGATING] = "aggregating",
};

const lq_arrow *lq_arrows(size_t *count)
{
    *count = LQ_COUNT(arrows);
    return arrows;
}

bool lq_state_may(lunaq_state from, lunaq_state to)
{
    for (size_t i = 0; i < LQ_COUNT(arrows); i++)
        if (arrows[i].from == from && arrows[i].to == to)
            return true;
    return false;
}

bool lq_state_may_move(lunaq_state from, lunaq_move move)
{
    if (from == ACTIVE || from == GONE)
        return false;
    switch (move) {
    case LUNAQ_MOVE_RUN:
        return lq_state_may(from, PENDING);
    case LUNAQ_MOVE_ARCHIVE:
        return lq_state_may(from, ARCHIVED);
    case LUNAQ_MOVE_DELETE:
        return lq_state_may(from, GONE);
    }
    return false;
}

const char *lq_move_name(lunaq_move move)
{
    switch (move) {
    case LUNAQ_MOVE_RUN:
        return "run";
    case LUNAQ_MOVE_ARCHIVE:
        return "archive";
    case LUNAQ_MOVE_DELETE:
        return "delete";
    }
    return NULL;
}

lunaq_state lq_state_from(lq_str name)
{
    for (size_t i = 1; i < LQ_COUNT(names); i++)
        if (lq_str_eq(name, lq_str_c(names[i])))
            return (lunaq_state)i;
    return LUNAQ_STATE_ANY;
}

const char *lunaq_state_name(lunaq_state state)
{
    unsigned i = (unsigned)state;
    return i >= 1 && i < LQ_COUNT(names) ? names[i] : "unknown";
}

lunaq_state lunaq_state_parse(const char *name)
{
    return lq_state_from(lq_str_c(name));
}
