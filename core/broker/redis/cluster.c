#include "redis/cluster.h"

#include "base/clock.h"
#include "redis/cluster_rows.h"
#include "redis/cluster_work.h"

#include <stdio.h>

#define AGAIN_MIN_MS 5 /* TRYAGAIN and the like: doubled each time, … */
#define AGAIN_MAX_MS 100
#define HOPS_MAX 5 /* redirections in a row, before it waits in between */

/* ---- making -------------------------------------------------------------- */

int lq_cluster_new(lq_cluster **out, const lq_url *url, lunaq_error *err)
{
    lq_cluster *c = lq_calloc(1, sizeof(*c));
    *out = NULL;
    if (!c)
        return lq_fail_nomem(err);
    lq_cmd_init(&c->cmd);
    lq_heads_init(&c->heads, url->prefix);
    lq_list_init(&c->ready);
    lq_list_init(&c->idle);
    lq_list_init(&c->finished);
    c->stale = true;
    c->lame = lq_calloc(LQ_SLOTS, sizeof(*c->lame));
    for (size_t i = 0; c->lame && i < url->host_count; i++)
        if (lq_cluster_map_node(&c->map, lq_str_c(url->hosts[i].name),
                                url->hosts[i].port) < 0) {
            lq_cluster_free(c);
            return lq_fail(err, LUNAQ_ECONFIG,
                           "redis: '%s' is not the address of a node",
                           url->hosts[i].name);
        }
    c->seeds = c->map.count;
    if (!c->lame || c->seeds == 0) {
        bool none = c->lame != NULL;
        lq_cluster_free(c);
        return none ? lq_fail(err, LUNAQ_ECONFIG,
                              "redis: a cluster's URL needs an address")
                    : lq_fail_nomem(err);
    }
    *out = c;
    return LUNAQ_OK;
}

void lq_cluster_free(lq_cluster *c)
{
    if (!c)
        return;
    lq_cmd_release(&c->cmd);
    lq_cluster_map_release(&c->map);
    lq_free(c->lame);
    lq_free(c);
}

const lq_cluster_map *lq_cluster_map_of(const lq_cluster *c)
{
    return &c->map;
}

size_t lq_cluster_out(const lq_cluster *c)
{
    return c->out;
}

bool lq_cluster_stale(const lq_cluster *c)
{
    return c->stale;
}

void lq_cluster_doubt(lq_cluster *c)
{
    c->stale = true;
}

/* ---- a command's states -------------------------------------------------- */

static uint32_t *counter(struct lq_cluster_work *w, enum lq_command_state state)
{
    switch (state) {
    case LQ_COMMAND_READY:
        return &w->ready;
    case LQ_COMMAND_WAITING:
        return &w->waiting;
    case LQ_COMMAND_SENT:
        return &w->sent;
    case LQ_COMMAND_ENDED:
        break;
    }
    return &w->ended;
}

/* The one place where a command's state changes. */
static void become(lq_cluster *c, struct lq_cluster_work *w, uint32_t i,
                   enum lq_command_state state)
{
    struct lq_cluster_command *m = &w->commands[i];
    --*counter(w, m->state);
    m->state = state;
    ++*counter(w, state);
    lq_list_remove(&w->node);
    lq_list_append(w->ready ? &c->ready : &c->idle, &w->node);
}

/* It will have no answer. */
static void lose(lq_cluster *c, struct lq_cluster_work *w, uint32_t i,
                 const lunaq_error *why)
{
    lunaq_error first = w->op->err;
    struct lq_cluster_command *m = &w->commands[i];
    int rc = why->code;
    if (why->code == LUNAQ_EBROKER && !m->any && !c->lame[m->slot]) {
        c->lame[m->slot] = w->begun;
        c->lame_count++;
    }
    if (w->row->lost)
        rc = w->row->lost(w->op, i, why);
    else
        w->op->err = *why;
    if (w->op->rc)
        w->op->err = first;
    lq_cluster_note(w, rc);
    become(c, w, i, LQ_COMMAND_ENDED);
    /* What follows it has nothing to follow. */
    while (++i < w->count && w->commands[i].follows)
        if (w->commands[i].state == LQ_COMMAND_WAITING)
            become(c, w, i, LQ_COMMAND_ENDED);
}

static void answer(lq_cluster *c, struct lq_cluster_work *w, uint32_t i,
                   int64_t now)
{
    const struct lq_cluster_command *m = &w->commands[i];
    if (c->lame_count && !m->any && c->lame[m->slot]) {
        int64_t away = now - c->lame[m->slot];
        c->lame[m->slot] = 0;
        c->lame_count--;
        if (away > c->back_ms)
            c->back_ms = away;
    }
    become(c, w, i, LQ_COMMAND_ENDED);
}

bool lq_cluster_back(lq_cluster *c, int64_t ms)
{
    bool back = c->back_ms >= ms;
    c->back_ms = 0;
    return back;
}

/* Later again, or never when its patience is over. */
static void postpone(lq_cluster *c, struct lq_cluster_work *w, uint32_t i,
                     int64_t now)
{
    struct lq_cluster_command *m = &w->commands[i];
    int64_t span = AGAIN_MIN_MS;
    for (uint32_t k = 0; k < m->hops && span < AGAIN_MAX_MS; k++)
        span *= 2;
    span = span / 2 + (int64_t)lq_random((uint64_t)span);
    m->hops++;
    m->ask = false;
    if (w->hurried || now + span >= w->deadline) {
        lunaq_error why = w->said;
        why.code = LUNAQ_EBROKER;
        lose(c, w, i, &why);
        return;
    }
    m->due = now + span;
    become(c, w, i, LQ_COMMAND_WAITING);
}

/* ---- operations ---------------------------------------------------------- */

static void finish(lq_cluster *c, struct lq_cluster_work *w)
{
    lq_op *op = w->op;
    if (w->row && w->row->end)
        op->rc = w->row->end(op);
    lq_list_append(&c->finished, &op->node);
    lq_list_remove(&w->node);
    lq_free(w->commands);
    lq_free(w);
}

/* Which slot a command is for. */
static int route(lq_cluster *c, struct lq_cluster_work *w, uint32_t i)
{
    struct lq_cluster_command *m = &w->commands[i];
    lq_cmd *cmd = &c->cmd;
    lq_cmd_clear(cmd);
    cmd->heads = &c->heads;
    cmd->cluster = true;
    cmd->key_only = true;
    int rc = w->row->build(w->op, i, cmd);
    if (rc)
        return rc;
    if (cmd->body.failed)
        return lq_fail_nomem(&w->op->err);
    lq_str key = lq_cmd_key(cmd);
    m->any = (!cmd->slot && !key.p) || w->op->kind == LQ_OP_LISTEN;
    m->slot = m->any      ? 0
              : cmd->slot ? (uint16_t)(cmd->slot - 1)
                          : lq_cluster_slot(key);
    m->follows = m->any && w->row->follow && i > 0;
    m->due = INT64_MAX;
    return LUNAQ_OK;
}

/* Adds n commands.  On failure none of them is there. */
static int add(lq_cluster *c, struct lq_cluster_work *w, uint32_t n)
{
    if (w->count + n > w->room) {
        uint32_t room = w->count + n;
        struct lq_cluster_command *more =
            lq_realloc(w->commands, room * sizeof(*w->commands));
        if (!more)
            return lq_fail_nomem(&w->op->err);
        w->commands = more;
        w->room = room;
    }
    for (uint32_t k = 0; k < n; k++) {
        w->commands[w->count + k] =
            (struct lq_cluster_command){.state = LQ_COMMAND_ENDED};
        int rc = route(c, w, w->count + k);
        if (rc)
            return rc;
    }
    w->ended += n;
    for (uint32_t k = 0; k < n; k++, w->count++)
        become(c, w, w->count,
               w->commands[w->count].follows ? LQ_COMMAND_WAITING
                                             : LQ_COMMAND_READY);
    return LUNAQ_OK;
}

/* After any of its commands changed: is there more to do, or is it the end? */
static void go_on(lq_cluster *c, struct lq_cluster_work *w)
{
    if (w->ready + w->waiting + w->sent > 0)
        return;
    uint32_t n = w->row->more && !w->op->rc ? w->row->more(w->op) : 0;
    if (n) {
        int rc = add(c, w, n);
        lq_cluster_note(w, rc);
        if (!rc)
            return;
    }
    finish(c, w);
}

void lq_cluster_submit(lq_cluster *c, lq_op *op, int64_t now_ms,
                       int64_t patience_ms)
{
    const lq_redis_op *row = lq_cluster_row(op->kind);
    struct lq_cluster_work *w = row ? lq_calloc(1, sizeof(*w)) : NULL;
    if (!w) {
        op->rc =
            row ? lq_fail_nomem(&op->err)
                : lq_fail(&op->err, LUNAQ_EINVAL, "redis: %s is not supported",
                          lq_op_name(op->kind));
        lq_list_append(&c->finished, &op->node);
        return;
    }
    w->op = op;
    w->row = row;
    w->begun = now_ms;
    w->deadline = now_ms + patience_ms;
    lq_list_init(&w->node);
    lq_fail(&w->said, LUNAQ_EBROKER, "redis: no node of the cluster answers");
    uint32_t n = row->count ? row->count(op) : 1;
    int rc = n ? add(c, w, n) : LUNAQ_OK;
    if (rc || n == 0) {
        lq_cluster_note(w, rc);
        finish(c, w);
    }
}

lq_op *lq_cluster_finished(lq_cluster *c)
{
    lq_list *node = lq_list_shift(&c->finished);
    return node ? LQ_OF(node, lq_op, node) : NULL;
}

/* ---- out ----------------------------------------------------------------- */

/* True when the command can go to *node now; else it was postponed. */
static bool target(lq_cluster *c, struct lq_cluster_work *w, uint32_t i,
                   int64_t now, size_t *node)
{
    struct lq_cluster_command *m = &w->commands[i];
    if (m->any) {
        *node = LQ_CLUSTER_ANY;
    } else if (m->ask) {
        *node = m->to;
    } else if (c->map.owner[m->slot]) {
        *node = (size_t)c->map.owner[m->slot] - 1;
    } else {
        c->stale = true;
        lq_fail(&w->said, LUNAQ_EBROKER,
                "redis: no node of the cluster has slot %u", m->slot);
        postpone(c, w, i, now);
        return false;
    }
    return true;
}

/* True when command i goes with those for `node`. */
static bool goes_along(lq_cluster *c, const struct lq_cluster_work *w,
                       uint32_t i, size_t node)
{
    const struct lq_cluster_command *m = &w->commands[i];
    if (m->follows || m->state != LQ_COMMAND_READY || m->ask)
        return false;
    return m->any ? node == LQ_CLUSTER_ANY : c->map.owner[m->slot] == node + 1;
}

static void ear_heard(lq_op_listen *op, lq_str task_id)
{
    lq_op_listen *whole =
        LQ_OF(LQ_OF(op, struct lq_cluster_ear, op)->work->op, lq_op_listen, op);
    if (whole->cancel)
        whole->cancel(whole, task_id);
}

static lq_op *make_ear(lq_cluster *c, struct lq_cluster_work *w)
{
    struct lq_cluster_ear *ear = lq_calloc(1, sizeof(*ear));
    if (!ear)
        return NULL;
    lq_op_init(&ear->op.op, LQ_OP_LISTEN);
    ear->op.cancel = ear_heard;
    ear->work = w;
    become(c, w, 0, LQ_COMMAND_SENT);
    c->out++;
    return &ear->op.op;
}

static lq_op *make_part(lq_cluster *c, struct lq_cluster_work *w,
                        uint32_t first, size_t node)
{
    bool ask = w->commands[first].ask;
    struct lq_cluster_part *p =
        lq_calloc(1, sizeof(*p) + (w->count - first) * sizeof(p->items[0]));
    if (!p)
        return NULL;
    lq_op_init(&p->op, LQ_OP_PART);
    p->cluster = c;
    p->work = w;
    p->at = node;
    p->ask = ask;
    bool taken = true; /* the one before, which some follow */
    p->items[p->count++].i = first;
    for (uint32_t i = first + 1; i < w->count && (taken || !ask); i++) {
        if (!w->commands[i].follows)
            taken = !ask && goes_along(c, w, i, node);
        if (taken)
            p->items[p->count++].i = i;
    }
    for (uint32_t k = 0; k < p->count; k++)
        become(c, w, p->items[k].i, LQ_COMMAND_SENT);
    c->out++;
    return &p->op;
}

static void wake_waiting(lq_cluster *c, int64_t now)
{
    LQ_LIST_EACH (&c->idle, node) {
        struct lq_cluster_work *w = LQ_OF(node, struct lq_cluster_work, node);
        for (uint32_t i = 0; w->waiting && i < w->count; i++)
            if (w->commands[i].state == LQ_COMMAND_WAITING &&
                w->commands[i].due <= now)
                become(c, w, i, LQ_COMMAND_READY);
    }
}

lq_op *lq_cluster_next(lq_cluster *c, size_t *node, int64_t now_ms)
{
    wake_waiting(c, now_ms);
    while (!lq_list_empty(&c->ready)) {
        struct lq_cluster_work *w =
            LQ_OF(c->ready.next, struct lq_cluster_work, node);
        uint32_t i = 0;
        while (w->commands[i].state != LQ_COMMAND_READY)
            i++;
        if (!target(c, w, i, now_ms, node)) {
            go_on(c, w);
            continue;
        }
        lq_op *out = w->op->kind == LQ_OP_LISTEN ? make_ear(c, w)
                                                 : make_part(c, w, i, *node);
        if (out)
            return out;
        lunaq_error why = {LUNAQ_ENOMEM, "out of memory"};
        lose(c, w, i, &why);
        go_on(c, w);
    }
    return NULL;
}

int64_t lq_cluster_due(const lq_cluster *c)
{
    int64_t due = INT64_MAX;
    LQ_LIST_EACH (&c->idle, node) {
        const struct lq_cluster_work *w =
            LQ_OF(node, struct lq_cluster_work, node);
        for (uint32_t i = 0; w->waiting && i < w->count; i++)
            if (w->commands[i].state == LQ_COMMAND_WAITING &&
                w->commands[i].due < due)
                due = w->commands[i].due;
    }
    return due;
}

/* ---- back ---------------------------------------------------------------- */

/* What a node said about the cluster, in one command's place. */
static void redirect(lq_cluster *c, const struct lq_cluster_part *p,
                     const struct lq_cluster_item *t, int64_t now)
{
    struct lq_cluster_work *w = p->work;
    struct lq_cluster_command *m = &w->commands[t->i];
    bool waits = w->op->kind == LQ_OP_WAIT;
    m->ask = false;
    if (t->said == LQ_SAID_MOVED || t->said == LQ_SAID_DOWN)
        c->stale = true;
    if (t->said == LQ_SAID_MOVED && t->to < c->map.count)
        lq_cluster_map_move(&c->map, t->slot, t->to);
    if (waits && t->i == 0) {
        /* Nobody was woken; the take behind it says what is there. */
        become(c, w, t->i, LQ_COMMAND_ENDED);
        return;
    }
    lq_fail(&w->said, LUNAQ_EBROKER, "redis: %s: %s", lq_op_name(w->op->kind),
            t->said == LQ_SAID_LATER ? "its slot is being moved between nodes"
            : t->said == LQ_SAID_DOWN
                ? "the cluster does not serve its slot now"
                : "it was sent from node to node");
    if ((t->said == LQ_SAID_MOVED || t->said == LQ_SAID_ASK) &&
        m->hops < HOPS_MAX && !waits) {
        m->hops++;
        m->ask = t->said == LQ_SAID_ASK;
        m->to = t->to;
        become(c, w, t->i, LQ_COMMAND_READY);
    } else {
        postpone(c, w, t->i, now);
    }
}

bool lq_cluster_waits(lq_op *bundle)
{
    if (bundle->kind == LQ_OP_LISTEN)
        return true;
    return LQ_OF(bundle, struct lq_cluster_part, op)->work->op->kind ==
           LQ_OP_WAIT;
}

static void ear_ended(lq_cluster *c, struct lq_cluster_ear *ear)
{
    struct lq_cluster_work *w = ear->work;
    c->out--;
    if (ear->op.op.rc)
        lose(c, w, 0, &ear->op.op.err);
    else
        become(c, w, 0, LQ_COMMAND_ENDED);
    lq_op_release(&ear->op.op);
    lq_free(ear);
    go_on(c, w);
}

void lq_cluster_ended(lq_cluster *c, lq_op *bundle, int64_t now_ms)
{
    if (bundle->kind == LQ_OP_LISTEN) {
        ear_ended(c, LQ_OF(bundle, struct lq_cluster_ear, op.op));
        return;
    }
    struct lq_cluster_part *p = LQ_OF(bundle, struct lq_cluster_part, op);
    struct lq_cluster_work *w = p->work;
    c->out--;
    if (bundle->rc)
        c->stale = true;
    for (uint32_t k = 0; k < p->count; k++) {
        const struct lq_cluster_item *t = &p->items[k];
        struct lq_cluster_command *m = &w->commands[t->i];
        /* What follows another means nothing without it, also later. */
        bool again = !m->follows;
        if (m->follows && w->commands[t->i - 1].state != LQ_COMMAND_ENDED) {
            m->due = INT64_MAX; /* goes with it again */
            become(c, w, t->i, LQ_COMMAND_WAITING);
        } else if (t->answered) {
            answer(c, w, t->i, now_ms);
        } else if (t->said && again) {
            redirect(c, p, t, now_ms);
        } else if (bundle->rc == LUNAQ_EBROKER && again) {
            w->said = bundle->err;
            postpone(c, w, t->i, now_ms);
        } else {
            lunaq_error why = bundle->err;
            if (!why.code)
                lq_fail(&why, LUNAQ_EUNKNOWN, "redis: no reply");
            lose(c, w, t->i, &why);
        }
    }
    lq_op_release(bundle);
    lq_free(p);
    go_on(c, w);
}

void lq_cluster_fresh(lq_cluster *c)
{
    c->stale = false;
}

static void hurry(lq_cluster *c, const lunaq_error *why)
{
    lq_list all, *node;
    lq_list_init(&all);
    while ((node = lq_list_shift(&c->ready)) ||
           (node = lq_list_shift(&c->idle)))
        lq_list_append(&all, node);
    while ((node = lq_list_shift(&all))) {
        struct lq_cluster_work *w = LQ_OF(node, struct lq_cluster_work, node);
        lq_list_append(&c->idle, &w->node);
        w->hurried = true;
        w->said = *why;
        for (uint32_t i = 0; i < w->count; i++)
            if (w->commands[i].state == LQ_COMMAND_READY ||
                w->commands[i].state == LQ_COMMAND_WAITING)
                lose(c, w, i, why);
        go_on(c, w);
    }
}

void lq_cluster_hurry(lq_cluster *c, const lunaq_error *why)
{
    hurry(c, why);
    /* What an operation still had to ask is of no use to anybody. */
    while (why->code == LUNAQ_ECANCELED && !lq_list_empty(&c->ready))
        hurry(c, why);
}
