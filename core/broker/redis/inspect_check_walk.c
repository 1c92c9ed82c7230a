/* See the header.  An id's bits: where it was met and what its task says. */
#include "redis/check.h"

#include "base/buf.h"
#include "task/codec.h"
#include "task/state.h"

#include <stdio.h>

enum {
    PLACE = 0xf,       /* a lunaq_state; 0 = nowhere */
    SAYS = 0xf0,       /* a lunaq_state; 0 = no task, UNSAID = another word */
    UNSAID = 0x80,     /* beyond LUNAQ_AGGREGATING << 4 */
    LEASED = 1 << 8,   /* it has a lease */
    SEVERAL = 1 << 9,  /* a suspect already: met more than once */
    ODD = 1 << 10,     /* no hash, or one without a message */
    MESSAGE = 1 << 11, /* its message is to be read again */
    AGAIN = 1 << 12,   /* pending, read twice: met again */
    KNOWN = 1 << 13,
    GROUP_SHIFT = 16 /* the number of the group, from 1 on */
};

static uintptr_t bits_of(const lq_check_memo *m, lq_str id)
{
    return (uintptr_t)lq_map_get(&m->places, id);
}

static bool set_bits(lq_check_memo *m, lq_str id, uintptr_t bits)
{
    return lq_map_set(&m->places, id, (void *)(bits | KNOWN), NULL);
}

static bool keep(lq_check_memo *m, lq_str s, lq_str *copy)
{
    char *p = lq_arena_dup(&m->mem, s);
    *copy = lq_str_n(p, s.len);
    return p != NULL;
}

bool lq_walk_add(lq_check_memo *m, lq_walk_list *list, lq_str id)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        lq_walk_item *more = lq_arena_alloc(&m->mem, room * sizeof *more);
        if (!more)
            return false;
        if (list->count)
            memcpy(more, list->items, list->count * sizeof *more);
        list->items = more;
        list->room = room;
    }
    lq_walk_item *item = &list->items[list->count];
    *item = (lq_walk_item){0};
    if (!keep(m, id, &item->id))
        return false;
    list->count++;
    return true;
}

bool lq_walk_group(lq_check_memo *m, lq_str key)
{
    lq_walk *w = m->own;
    for (size_t i = w->groups.count; i-- > 0 && i + 32 > w->groups.count;)
        if (lq_str_eq(w->groups.items[i].id, key))
            return true; /* a cursor may give one twice */
    return lq_walk_add(m, &w->groups, key);
}

/* The key of the group it was met in; empty when in none. */
static lq_str group_of(const lq_check_memo *m, uintptr_t bits)
{
    const lq_walk *w = m->own;
    size_t number = bits >> GROUP_SHIFT;
    return number ? w->groups.items[number - 1].id : (lq_str){0};
}

bool lq_walk_met(lq_check_memo *m, lq_str id, lunaq_state state, size_t group)
{
    lq_walk *w = m->own;
    uintptr_t bits = bits_of(m, id);
    uintptr_t number = (uintptr_t)group << GROUP_SHIFT;
    if ((bits & PLACE) == 0)
        return set_bits(m, id, bits | (uintptr_t)state | number);
    /* A cursor over a sorted set may give a member twice. */
    if ((bits & PLACE) == (uintptr_t)state && state > LUNAQ_PENDING &&
        bits >> GROUP_SHIFT == group)
        return true;
    if (!lq_walk_add(m, &w->suspects, id))
        return false;
    lq_walk_item *s = &w->suspects.items[w->suspects.count - 1];
    s->several = true;
    s->first = group_of(m, bits);
    s->hint = group_of(m, number);
    return set_bits(m, id, bits | SEVERAL);
}

bool lq_walk_leased(lq_check_memo *m, lq_str id)
{
    return set_bits(m, id, bits_of(m, id) | LEASED);
}

/* What a message says of itself: true when it can be read, and is the one of
 * this task.  detail: what is wrong. */
static bool own_message(lq_str queue, lq_str id, lq_str msg,
                        lq_fault_kind *kind, char *detail, size_t size)
{
    lq_task t = {0};
    lunaq_error why = LUNAQ_ERROR_INIT;
    *kind = LQ_FAULT_NONE;
    if (lq_task_decode(&t, msg, &why)) {
        *kind = LQ_FAULT_UNDECODABLE;
        snprintf(detail, size, "%s", why.message);
    } else if (!lq_str_eq(t.id, id) || !lq_str_eq(t.queue, queue)) {
        *kind = LQ_FAULT_WRONG_NAME;
        snprintf(detail, size, "%.*s in queue '%.*s'", LQ_STR_ARG(t.id),
                 LQ_STR_ARG(t.queue));
    }
    lq_task_release(&t);
    return *kind == LQ_FAULT_NONE;
}

/* Is this the key of the group, or of a set of it? */
static bool is_key_of(lq_str key, lq_str group)
{
    const char *at = key.len ? memmem(key.p, key.len, "}:g:", 4) : NULL;
    if (!at)
        return true;
    lq_str name = lq_str_n(at + 4, key.len - (size_t)(at + 4 - key.p));
    return lq_str_starts(name, group) &&
           (name.len == group.len || name.p[group.len] == ':');
}

bool lq_walk_task(lq_op_check *op, lq_str id, lq_str state, int64_t form,
                  lq_str group, lq_str msg)
{
    lq_check_memo *m = op->memo;
    uintptr_t bits = bits_of(m, id);
    lq_fault_kind kind;
    char detail[8];
    lunaq_state says = lq_state_from(state);
    if (!(bits & SAYS))
        op->tasks++; /* a cursor may give a key twice */
    bits &= ~(uintptr_t)SAYS;
    bits |= says ? (uintptr_t)says << 4 : UNSAID;
    if (form || !is_key_of(group_of(m, bits), group))
        bits |= ODD;
    else if (msg.len == 0 ||
             !own_message(op->queue, id, msg, &kind, detail, sizeof detail))
        bits |= MESSAGE;
    return set_bits(m, id, bits);
}

static bool fits(uintptr_t bits)
{
    uintptr_t place = bits & PLACE, says = (bits & SAYS) >> 4;
    return place && place == says && !(bits & (ODD | MESSAGE)) &&
           (place == LUNAQ_ACTIVE) == ((bits & LEASED) != 0);
}

bool lq_walk_judge(lq_check_memo *m)
{
    lq_walk *w = m->own;
    size_t at = 0;
    lq_str id;
    void *value;
    while (lq_map_each(&m->places, &at, &id, &value)) {
        uintptr_t bits = (uintptr_t)value;
        if (fits(bits) || (bits & SEVERAL && !(bits & MESSAGE)))
            continue;
        if (!lq_walk_add(m, &w->suspects, id))
            return false;
        lq_walk_item *s = &w->suspects.items[w->suspects.count - 1];
        s->wanted = (bits & MESSAGE) != 0;
        s->several = (bits & ODD) != 0;
        s->first = group_of(m, bits);
        if ((bits & (PLACE | SAYS)) == LUNAQ_PENDING && !(bits & LEASED)) {
            s->doubtful = true;
            w->doubtful++;
        }
    }
    return true;
}

void lq_walk_again(lq_check_memo *m, lq_str id)
{
    uintptr_t bits = bits_of(m, id);
    if (bits && !(bits & AGAIN))
        (void)set_bits(m, id, bits | AGAIN); /* it is there: no new memory */
}

void lq_walk_settle(lq_check_memo *m)
{
    lq_walk *w = m->own;
    size_t n = 0;
    for (size_t i = 0; i < w->suspects.count; i++) {
        lq_walk_item *s = &w->suspects.items[i];
        if (s->doubtful && !(bits_of(m, s->id) & AGAIN))
            continue; /* it has run */
        w->suspects.items[n++] = *s;
    }
    w->suspects.count = n;
}

/* The message it gets: with its own id and queue; or, when it cannot be read,
 * one that carries its bytes. */
static int make_fresh(lq_check_memo *m, lq_str queue, lq_walk_item *fix)
{
    lq_buf out;
    lq_task t = {0};
    bool read = fix->kind == LQ_FAULT_WRONG_NAME;
    lq_buf_init(&out, 0);
    if (read && lq_task_decode(&t, fix->old, NULL)) {
        lq_task_release(&t);
        t = (lq_task){0};
        read = false;
    }
    if (!read)
        t = (lq_task){.type = LQ_STR(LQ_TYPE_UNDECODABLE),
                      .payload = fix->old,
                      .timeout_s = LQ_TIMEOUT_DEFAULT_S,
                      .error_msg = fix->detail};
    fix->archive = !read;
    t.id = fix->id;
    t.queue = queue;
    lq_task_encode(&out, &t);
    bool ok = !out.failed && keep(m, lq_buf_str(&out), &fix->fresh);
    lq_task_release(&t);
    lq_buf_release(&out);
    return ok ? LUNAQ_OK : LUNAQ_ENOMEM;
}

int lq_walk_message(lq_op_check *op, lq_str id, lq_str how, lq_str bytes)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    char detail[200] = "its key was no hash";
    lq_fault_kind kind = LQ_FAULT_NONE;
    if (lq_str_eq(how, LQ_STR("msg"))) {
        if (own_message(op->queue, id, bytes, &kind, detail, sizeof detail))
            return LUNAQ_OK;
    } else if (lq_str_eq(how, LQ_STR("none"))) {
        kind = LQ_FAULT_NO_MESSAGE;
        snprintf(detail, sizeof detail, "it had no message");
    }
    if (!op->repair) {
        if (kind && !lq_check_add(op, kind, id, lq_str_c(detail), false))
            return lq_fail_nomem(&op->op.err);
        return LUNAQ_OK;
    }
    if (!lq_walk_add(m, &w->fixes, id))
        return lq_fail_nomem(&op->op.err);
    lq_walk_item *fix = &w->fixes.items[w->fixes.count - 1];
    fix->kind = kind;
    if (!keep(m, how, &fix->hint) || !keep(m, bytes, &fix->old) ||
        !keep(m, lq_str_c(detail), &fix->detail) ||
        make_fresh(m, op->queue, fix))
        return lq_fail_nomem(&op->op.err);
    return LUNAQ_OK;
}
