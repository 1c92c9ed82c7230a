/* Weighted and strict choice among queues (hibiken/asynq draws one queue order
 * a fetch; a batch needs one draw a task to keep the same shares). */
#include "runtime/weights.h"

static uint64_t weight_left(const lq_weight *queues, size_t count,
                            const bool *placed)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (!queues[i].skip && !placed[i])
            sum += queues[i].weight;
    return sum;
}

static size_t draw(const lq_weight *queues, size_t count, const bool *placed,
                   uint64_t at)
{
    for (size_t i = 0; i < count; i++) {
        if (queues[i].skip || placed[i])
            continue;
        if (at < queues[i].weight)
            return i;
        at -= queues[i].weight;
    }
    return count; /* not reached while at < the sum of weights */
}

static void plan_strict(const lq_weight *queues, size_t count, size_t *order)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        while (at > 0 && queues[order[at - 1]].weight < queues[i].weight) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

void lq_weights_plan(const lq_weight *queues, size_t count, uint32_t n,
                     bool strict, uint64_t (*rnd)(uint64_t bound),
                     size_t *order, uint32_t *want)
{
    bool placed[LQ_WEIGHTS_MAX] = {false};
    const bool none[LQ_WEIGHTS_MAX] = {false};
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        want[i] = 0;
    if (strict) {
        plan_strict(queues, count, order);
        return;
    }
    uint64_t sum = weight_left(queues, count, none);
    for (uint32_t k = 0; k < n && sum > 0; k++) {
        size_t i = draw(queues, count, none, rnd(sum));
        want[i]++;
        if (!placed[i]) {
            placed[i] = true;
            order[at++] = i;
        }
    }
    /* Those that no draw hit follow, by weight among themselves. */
    while ((sum = weight_left(queues, count, placed)) > 0) {
        size_t i = draw(queues, count, placed, rnd(sum));
        placed[i] = true;
        order[at++] = i;
    }
    for (size_t i = 0; i < count; i++)
        if (!placed[i])
            order[at++] = i;
}
