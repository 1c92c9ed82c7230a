/* Faults: their names and texts, and what a walk keeps. */
#include "broker/check.h"

#include <stdio.h>

static const struct {
    const char *name, *text, *cure;
} faults[LQ_FAULT_KINDS] = {
#define LQ_FAULT_ROW(name, kind, text, cure)                                   \
    [LQ_FAULT_##name] = {kind, text, cure},
    LQ_FAULTS(LQ_FAULT_ROW)
#undef LQ_FAULT_ROW
};

const char *lq_fault_name(lq_fault_kind kind)
{
    return (size_t)kind < LQ_COUNT(faults) ? faults[kind].name : NULL;
}

lq_fault_kind lq_fault_from(lq_str name)
{
    for (size_t i = 1; i < LQ_COUNT(faults); i++)
        if (lq_str_eq(name, lq_str_c(faults[i].name)))
            return (lq_fault_kind)i;
    return LQ_FAULT_NONE;
}

const char *lq_fault_cure(lq_fault_kind kind)
{
    return (size_t)kind < LQ_COUNT(faults) ? faults[kind].cure : NULL;
}

void lq_fault_text(const lq_fault *f, char *out, size_t size)
{
    const char *p = lq_fault_name(f->kind) ? faults[f->kind].text : "%d";
    size_t n = 0;
    for (; *p && n + 1 < size; p++) {
        lq_str s = lq_str_n(p, 1);
        if (*p == '%') {
            p++;
            s = *p == 'i' ? f->id : f->detail;
        }
        size_t len = s.len < size - 1 - n ? s.len : size - 1 - n;
        if (len)
            memcpy(out + n, s.p, len);
        n += len;
    }
    out[n] = '\0';
}

void lq_check_memo_release(lq_check_memo *m)
{
    lq_map_release(&m->places);
    lq_arena_release(&m->mem);
    *m = (lq_check_memo){0};
}

bool lq_check_add(lq_op_check *op, lq_fault_kind kind, lq_str id, lq_str detail,
                  bool repaired)
{
    enum { CHUNK = 64 };
    if (op->count % CHUNK == 0) { /* the arena frees the former one at last */
        lq_fault *more =
            lq_arena_alloc(&op->op.mem, (op->count + CHUNK) * sizeof *more);
        if (!more)
            return false;
        if (op->count)
            memcpy(more, op->faults, op->count * sizeof *more);
        op->faults = more;
    }
    lq_fault *f = &op->faults[op->count];
    f->kind = kind;
    f->repaired = repaired;
    char *i = lq_arena_dup(&op->op.mem, id);
    char *d = lq_arena_dup(&op->op.mem, detail);
    if (!i || !d)
        return false;
    f->id = lq_str_n(i, id.len);
    f->detail = lq_str_n(d, detail.len);
    op->count++;
    return true;
}
