/* group_world: what the suites of groups do to the group "g" of Q. */
#ifndef LQ_TEST_GROUP_WORLD_H
#define LQ_TEST_GROUP_WORLD_H

#include "broker/group.h"
#include "broker/world.h"

#define SET "0193b9a0-0000-7000-8000-000000000001"
#define SET_2 "0193b9a0-0000-7000-8000-000000000002"
#define LONG_MS 3600000

extern const lq_group_rule group_at_once; /* everything is due */
extern const lq_group_rule group_later;   /* nothing is */

/** Enqueues a task of type "t" into a group of Q; its code. */
int group_put(world *w, const char *group, const char *id);
/** Takes a set of group "g"; what came is in *op, to be released. */
size_t group_take(world *w, lq_op_group_take *op, const char *set,
                  lq_group_rule rule, int64_t ttl_ms);
size_t group_take_only(world *w, const char *set, lq_group_rule rule);
/** The queue's groups and sets; the caller releases op. */
lq_op_groups group_look(world *w);
/** Checks how many tasks wait in groups, and how many are in sets. */
void group_expect(world *w, int64_t waiting, int64_t in_sets);
/** Finishes the set with one task, or none; the code. */
int group_finish(world *w, const char *set, lq_enqueue *e, const lq_str *alone,
                 size_t alone_count);
int group_finish_with(world *w, const char *set, const lunaq_task *t);
lunaq_task group_batch(const char *id);
/** Puts SET back; error NULL: nothing went wrong. */
int group_back(world *w, const char *error, int64_t retry_ms);
int group_extend(world *w, int64_t ttl_ms);
/** Reclaims until a set was; how many tasks came back. */
int64_t group_reclaim(world *w, int64_t patience_ms);
/** Forwards until a task was. */
void group_forward_one(world *w);

#endif
