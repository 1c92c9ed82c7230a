/* Two brokers side by side, and what is done to both (test_broker_same.c). */
#ifndef LQ_TEST_SAME_H
#define LQ_TEST_SAME_H

#include "inspect_world.h"

#define Q "q"
#define IDS 8
#define GROUPS 2

struct side {
    struct world w;
    uint32_t token;
    lq_buf said; /* of one operation */
};

/* What is done, the same on both sides. */
struct step {
    const struct act *act;
    uint32_t id, a, b, c; /* drawn */
    char set[8], old_set[8];
    const char *set_group, *old_group;
};

struct act {
    const char *name;
    void (*run)(struct side *s, const struct step *st);
    uint32_t weight; /* how often, beside the others */
    bool takes_a_set;
};

extern const char *const same_ids[IDS];
extern const char *const same_groups[GROUPS];

/* The acts there are; the first one enqueues. */
const struct act *same_acts(size_t *count);

void side_say_str(struct side *s, const char *name, lq_str v);
void side_say(struct side *s, const char *name, int64_t n);
/* What a message says, without what the clock does. */
void side_say_msg(struct side *s, lq_str msg);
/* Calls the broker and says the code; fails the test when it is not there. */
int side_call(struct side *s, lq_op *op, enum lq_op_kind kind);

#endif
