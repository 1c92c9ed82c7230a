/* When a group is due. */
#include "broker/group.h"

int64_t lq_group_due_ms(const lq_group_row *row, const lq_group_rule *rule)
{
    int64_t due = rule->grace_ms - row->newest_ms;
    if (rule->max_delay_ms > 0 && rule->max_delay_ms - row->oldest_ms < due)
        due = rule->max_delay_ms - row->oldest_ms;
    if (rule->max_size > 0 && row->size >= rule->max_size)
        due = 0;
    if (due < row->retry_ms)
        due = row->retry_ms;
    return due > 0 ? due : 0;
}
