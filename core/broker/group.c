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

bool lq_group_next_type(lq_str *rest, lq_str *type)
{
    if (!rest->len)
        return false;
    const char *end = memchr(rest->p, 0, rest->len);
    *type = lq_str_n(rest->p, end ? (size_t)(end - rest->p) : rest->len);
    size_t read = type->len + (end ? 1 : 0);
    *rest = lq_str_n(rest->p + read, rest->len - read);
    return true;
}

lq_str lq_group_first_type(lq_str types)
{
    lq_str type = LQ_STR("");
    lq_group_next_type(&types, &type);
    return type;
}
