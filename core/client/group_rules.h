/* group_rules: how the live servers aggregate groups, as they publish it. */
#ifndef LQ_CLIENT_GROUP_RULES_H
#define LQ_CLIENT_GROUP_RULES_H

#include "broker/group.h"
#include "client/handle.h"

typedef struct lq_group_rules lq_group_rules;

/** Asks for the servers and reads what they say. */
int lq_group_rules_open(lq_group_rules **out, lunaq_client *client,
                        lunaq_error *err);
void lq_group_rules_free(lq_group_rules *rules); /* NULL is fine */
/** When the first of them aggregates a group that looks like this: ms from now;
 *  -1 = none of them does. */
int64_t lq_group_rules_due_ms(const lq_group_rules *rules, lq_str queue,
                              const lq_group_row *row);

#endif
