/* CHECK: a queue is walked in parts, and what looked odd is looked at again.
 *
 * First the ids of every list and set are read page by page, then all keys of
 * the queue, of which the tasks' are compared with where their ids were met.
 * Tasks that moved meanwhile do not fit, either: so what does not fit is only a
 * suspect, which one script looks at again, and mends, at once.  Of suspects
 * that seem to be pending and not to exist, most have run: the pending are read
 * once more, because to look for one costs a walk over all of them.
 */
#include "redis/check.h"
#include "redis/cluster_map.h"
#include "redis/cluster_rows.h"
#include "redis/inspect_rows.h"
#include "redis/keys.h"

#include <stdio.h>

#define PAGE 1000    /* ids, or 500 keys: a few milliseconds of Redis */
#define SUSPECTS 100 /* looked at in one call, if that is little work */
#define FIXES 20

extern const lq_script lq_script_check_page, lq_script_check_scan,
    lq_script_check_task, lq_script_check_fix;

enum phase {
    START,
    COLLECT, /* memo->at: which of collections[] */
    MEMBERS, /* memo->at: which of the walk's groups */
    SCAN,
    AGAIN,  /* the pending once more */
    LOOK,   /* memo->at: which of the suspects */
    FIX,    /* memo->at: which of the fixes */
    LISTED, /* "": the queues that are listed */
    NODES,  /* "": of a cluster, whose nodes are then asked in turn */
    KEYS,   /* "": all keys, for queues that are not; memo->at: which node */
    UNLISTED,
    END
};

static const struct {
    const char *name, *kind;
    lunaq_state state;
    bool own; /* a key of lunaq's */
} collections[] = {
    {"pending", "list", LUNAQ_PENDING, false},
    {"active", "list", LUNAQ_ACTIVE, false},
    {"lease", "lease", LUNAQ_STATE_ANY, false},
    {"scheduled", "zset", LUNAQ_SCHEDULED, false},
    {"retry", "zset", LUNAQ_RETRY, false},
    {"archived", "zset", LUNAQ_ARCHIVED, false},
    {"completed", "zset", LUNAQ_COMPLETED, false},
    {"groups", "groups", LUNAQ_STATE_ANY, false},
    {"aggregation_sets", "sets", LUNAQ_STATE_ANY, false},
    {"cron", "hash", LUNAQ_STATE_ANY, true},
    {"groups", "hash", LUNAQ_STATE_ANY, true},
    {"limits", "hash", LUNAQ_STATE_ANY, true},
    {"dropped", "counter", LUNAQ_STATE_ANY, true},
    {"discarded", "counter", LUNAQ_STATE_ANY, true},
};

/* ---- commands ------------------------------------------------------------ */

static void build_page(lq_cmd *c, const lq_op_check *op)
{
    lq_check_memo *m = op->memo;
    const lq_walk *w = m->own;
    lq_cmd_script(c, &lq_script_check_page, 2);
    if (m->phase == MEMBERS)
        lq_cmd_str(c, w->groups.items[m->at].id);
    else if (m->phase == AGAIN)
        lq_cmd_queue(c, op->queue, "pending");
    else if (collections[m->at].own)
        lq_cmd_own(c, op->queue, collections[m->at].name);
    else
        lq_cmd_queue(c, op->queue, collections[m->at].name);
    lq_cmd_queue(c, op->queue, "groups");
    lq_cmd_c(c, m->phase == MEMBERS ? "zset"
                : m->phase == AGAIN ? "list"
                                    : collections[m->at].kind);
    lq_cmd_c(c, m->cursor[0] ? m->cursor : "0");
    lq_cmd_int(c, PAGE);
    lq_cmd_c(c, op->repair ? "1" : "0");
    lq_cmd_queue(c, op->queue, "g:");
    lq_cmd_queue(c, op->queue, "t:");
    lq_cmd_str(c, w->last);
}

static void build_scan(lq_cmd *c, const lq_op_check *op)
{
    char quoted[LUNAQ_NAME_MAX * 2];
    lq_cmd_script(c, &lq_script_check_scan, 2);
    lq_cmd_queue(c, op->queue, "groups");
    lq_cmd_queue(c, op->queue, "aggregation_sets");
    lq_cmd_c(c, op->memo->cursor[0] ? op->memo->cursor : "0");
    lq_cmd_queue(c, lq_glob_quote(op->queue, quoted, sizeof quoted), "*");
    lq_cmd_queue(c, op->queue, "");
    lq_cmd_c(c, op->repair ? "1" : "0");
    lq_cmd_int(c, PAGE / 2);
}

static void build_keys(lq_cmd *c, lq_str queue)
{
    static const char *const keys[] = {
        "pending",  "active",    "lease",  "scheduled",       "retry",
        "archived", "completed", "groups", "aggregation_sets"};
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(c, queue, keys[k]);
    lq_cmd_queue(c, queue, "t:");
    lq_cmd_queue(c, queue, "g:");
}

static void build_look(lq_cmd *c, const lq_op_check *op)
{
    const lq_walk *w = op->memo->own;
    lq_cmd_script(c, &lq_script_check_task, 9);
    build_keys(c, op->queue);
    lq_cmd_c(c, op->repair ? "1" : "0");
    for (size_t i = op->memo->at;
         i < w->suspects.count && i < op->memo->at + SUSPECTS; i++) {
        const lq_walk_item *s = &w->suspects.items[i];
        lq_cmd_str(c, s->id);
        lq_cmd_int(c, (s->several ? 1 : 0) + (s->wanted ? 2 : 0));
        lq_cmd_str(c, s->hint);
        lq_cmd_str(c, s->first);
    }
}

static void build_fix(lq_cmd *c, const lq_op_check *op)
{
    const lq_walk *w = op->memo->own;
    lq_cmd_script(c, &lq_script_check_fix, 9);
    build_keys(c, op->queue);
    for (size_t i = op->memo->at;
         i < w->fixes.count && i < op->memo->at + FIXES; i++) {
        const lq_walk_item *f = &w->fixes.items[i];
        lq_cmd_str(c, f->id);
        lq_cmd_str(c, f->hint);
        lq_cmd_str(c, f->old);
        lq_cmd_str(c, f->fresh);
        lq_cmd_c(c, f->archive ? "1" : "0");
    }
}

static int check_build(lq_op *base, uint32_t i, lq_cmd *c)
{
    lq_op_check *op = (lq_op_check *)base;
    lq_check_memo *m = op->memo;
    (void)i;
    if (!m->own && !(m->own = lq_arena_alloc(&m->mem, sizeof(lq_walk))))
        return lq_fail_nomem(&base->err);
    if (m->phase == START)
        m->phase = op->queue.len ? COLLECT : LISTED;
    const lq_walk *w = m->own;
    switch ((enum phase)m->phase) {
    case SCAN:
        build_scan(c, op);
        break;
    case LOOK:
        build_look(c, op);
        break;
    case FIX:
        build_fix(c, op);
        break;
    case LISTED:
        lq_cmd_c(c, "SMEMBERS");
        lq_cmd_global(c, "queues");
        break;
    case NODES:
        lq_cmd_c(c, "CLUSTER");
        lq_cmd_c(c, "SLOTS");
        break;
    case KEYS:
        if (w->node_count)
            c->slot = w->nodes[m->at] + 1u;
        lq_cmd_c(c, "SCAN");
        lq_cmd_c(c, m->cursor[0] ? m->cursor : "0");
        lq_cmd_c(c, "MATCH");
        lq_cmd_queue(c, LQ_STR("*"), "*");
        lq_cmd_c(c, "COUNT");
        lq_cmd_int(c, PAGE);
        break;
    case UNLISTED:
        lq_cmd_c(c, op->repair ? "SADD" : "SISMEMBER");
        lq_cmd_global(c, "queues");
        lq_cmd_str(c, w->suspects.items[m->at].id);
        break;
    default:
        build_page(c, op);
    }
    return LUNAQ_OK;
}

/* ---- replies ------------------------------------------------------------- */

/* Takes over what a script found: kind, id, detail, repaired, … */
static int take_faults(lq_op_check *op, const lq_reply *list)
{
    for (size_t k = 0; k + 3 < lq_reply_count(list); k += 4) {
        lq_fault_kind kind = lq_fault_from(lq_reply_str(lq_reply_at(list, k)));
        if (kind == LQ_FAULT_NONE)
            return lq_redis_odd(&op->op);
        if (!lq_check_add(op, kind, lq_reply_str(lq_reply_at(list, k + 1)),
                          lq_reply_str(lq_reply_at(list, k + 2)),
                          lq_reply_int(lq_reply_at(list, k + 3), 0) == 1))
            return lq_fail_nomem(&op->op.err);
    }
    return LUNAQ_OK;
}

/* Sets the cursor of the next page; true when there is none. */
static bool turn_page(lq_check_memo *m, const lq_reply *cursor)
{
    lq_str s = lq_reply_str(cursor);
    bool last =
        s.len == 0 || s.len >= sizeof m->cursor || lq_str_eq(s, LQ_STR("0"));
    if (!last)
        memcpy(m->cursor, s.p, s.len);
    m->cursor[last ? 0 : s.len] = '\0';
    return last;
}

static void enter(lq_check_memo *m, enum phase phase)
{
    m->phase = phase;
    m->at = 0;
    m->cursor[0] = '\0';
    ((lq_walk *)m->own)->last = (lq_str){0};
}

static int met_page(lq_op_check *op, const lq_reply *items)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    bool ok = true;
    size_t n = lq_reply_count(items);
    const char *kind =
        m->phase == COLLECT ? collections[m->at].kind : "members";
    for (size_t k = 0; ok && k < n; k++) {
        lq_str id = lq_reply_str(lq_reply_at(items, k));
        if (m->phase == AGAIN)
            lq_walk_again(m, id);
        else if (m->phase == MEMBERS)
            ok = lq_walk_met(m, id, LUNAQ_AGGREGATING, m->at + 1);
        else if (collections[m->at].state)
            ok = lq_walk_met(m, id, collections[m->at].state, 0);
        else if (strcmp(kind, "lease") == 0)
            ok = lq_walk_leased(m, id);
        else
            ok = lq_walk_group(m, id);
    }
    if (ok && n > 0 && strcmp(kind, "list") == 0) {
        lq_str last = lq_reply_str(lq_reply_at(items, n - 1));
        char *copy = lq_arena_dup(&m->mem, last);
        w->last = lq_str_n(copy, last.len);
        ok = copy != NULL;
    }
    return ok ? LUNAQ_OK : lq_fail_nomem(&op->op.err);
}

/* Where it goes on when a page was the last one of its key. */
static int next_key(lq_op_check *op)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    size_t at = m->at + 1;
    enum phase phase = (enum phase)m->phase;
    if (phase == AGAIN) {
        lq_walk_settle(m);
        enter(m, w->suspects.count ? LOOK : END);
        return LUNAQ_OK;
    }
    if (phase == COLLECT && at == LQ_COUNT(collections)) {
        phase = MEMBERS;
        at = 0;
    }
    enter(m, phase);
    m->at = at;
    if (phase == MEMBERS && at >= w->groups.count) {
        if (!w->scanned) {
            enter(m, SCAN);
            return LUNAQ_OK;
        }
        if (!lq_walk_judge(m))
            return lq_fail_nomem(&op->op.err);
        enter(m, w->doubtful ? AGAIN : w->suspects.count ? LOOK : END);
    }
    return LUNAQ_OK;
}

static int parse_page(lq_op_check *op, const lq_reply *reply)
{
    lq_check_memo *m = op->memo;
    int rc = take_faults(op, lq_reply_at(reply, 2));
    if (!rc)
        rc = met_page(op, lq_reply_at(reply, 1));
    if (!rc && turn_page(m, lq_reply_at(reply, 0)))
        rc = next_key(op);
    return rc;
}

static int parse_scan(lq_op_check *op, const lq_reply *reply)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    const lq_reply *tasks = lq_reply_at(reply, 1);
    const lq_reply *walks = lq_reply_at(reply, 2);
    size_t known = w->groups.count;
    bool ok = true;
    int rc = take_faults(op, lq_reply_at(reply, 3));
    for (size_t k = 0; ok && k + 4 < lq_reply_count(tasks); k += 5)
        ok = lq_walk_task(op, lq_reply_str(lq_reply_at(tasks, k)),
                          lq_reply_str(lq_reply_at(tasks, k + 1)),
                          lq_reply_int(lq_reply_at(tasks, k + 2), 0),
                          lq_reply_str(lq_reply_at(tasks, k + 3)),
                          lq_reply_str(lq_reply_at(tasks, k + 4)));
    for (size_t k = 0; ok && k < lq_reply_count(walks); k++)
        ok = lq_walk_group(m, lq_reply_str(lq_reply_at(walks, k)));
    if (!ok)
        return lq_fail_nomem(&op->op.err);
    if (w->groups.count > known && !w->unwalked)
        w->unwalked = known + 1;
    if (rc || !turn_page(m, lq_reply_at(reply, 0)))
        return rc;
    w->scanned = true;
    enter(m, MEMBERS);
    m->at = w->unwalked ? w->unwalked - 2 : w->groups.count;
    return next_key(op);
}

static int parse_look(lq_op_check *op, const lq_reply *reply)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    const lq_reply *list = lq_reply_at(reply, 2);
    int64_t done = lq_reply_int(lq_reply_at(reply, 0), 0);
    int rc = take_faults(op, lq_reply_at(reply, 1));
    for (size_t k = 0; !rc && k + 2 < lq_reply_count(list); k += 3)
        rc = lq_walk_message(op, lq_reply_str(lq_reply_at(list, k)),
                             lq_reply_str(lq_reply_at(list, k + 1)),
                             lq_reply_str(lq_reply_at(list, k + 2)));
    if (rc)
        return rc;
    if (done < 1)
        return lq_redis_odd(&op->op);
    m->at += (size_t)done;
    if (m->at >= w->suspects.count)
        enter(m, w->fixes.count ? FIX : END);
    return LUNAQ_OK;
}

static int parse_fix(lq_op_check *op, const lq_reply *reply)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    lq_str codes = lq_reply_str(reply);
    if (codes.len == 0 || codes.len > w->fixes.count - m->at)
        return lq_redis_odd(&op->op);
    for (size_t k = 0; k < codes.len; k++) {
        const lq_walk_item *f = &w->fixes.items[m->at + k];
        /* Not as it was: a server was faster, and it is no fault any more. */
        if (codes.p[k] != '0' && f->kind &&
            !lq_check_add(op, f->kind, f->id, f->detail, codes.p[k] == '1'))
            return lq_fail_nomem(&op->op.err);
    }
    m->at += codes.len;
    if (m->at >= w->fixes.count)
        enter(m, END);
    return LUNAQ_OK;
}

/* ---- queues that are not listed ------------------------------------------ */

static int parse_listed(lq_op_check *op, const lq_reply *reply)
{
    for (size_t k = 0; k < lq_reply_count(reply); k++)
        if (!lq_map_set(&op->memo->places, lq_reply_str(lq_reply_at(reply, k)),
                        op->memo, NULL))
            return lq_fail_nomem(&op->op.err);
    enter(op->memo, KEYS);
    return LUNAQ_OK;
}

static int parse_keys(lq_op_check *op, const lq_reply *reply)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    const lq_reply *keys = lq_reply_at(reply, 1);
    for (size_t k = 0; k < lq_reply_count(keys); k++) {
        lq_str key = lq_reply_str(lq_reply_at(keys, k));
        const char *from = key.len ? memchr(key.p, '{', key.len) : NULL;
        const char *to =
            from ? memchr(from, '}', key.len - (size_t)(from - key.p)) : NULL;
        if (!to)
            continue;
        lq_str name = lq_str_n(from + 1, (size_t)(to - from) - 1);
        if (lq_map_get(&m->places, name))
            continue;
        if (lq_name_check("queue", name, NULL))
            continue;
        if (!lq_map_set(&m->places, name, m, NULL) ||
            !lq_walk_add(m, &w->suspects, name))
            return lq_fail_nomem(&op->op.err);
    }
    if (turn_page(m, lq_reply_at(reply, 0)) && ++m->at >= w->node_count)
        enter(m, w->suspects.count ? UNLISTED : END);
    return LUNAQ_OK;
}

static int parse_nodes(lq_op_check *op, const lq_reply *reply)
{
    const lq_cluster_addr asked = {.host = "?", .port = 1};
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    lq_cluster_map *map = lq_calloc(1, sizeof(*map));
    if (!map)
        return lq_fail_nomem(&op->op.err);
    int rc = lq_cluster_map_read(map, reply, &asked, &op->op.err);
    if (!rc)
        w->nodes =
            lq_arena_alloc(&m->mem, (map->count + 1) * sizeof(*w->nodes));
    if (!rc && !w->nodes) {
        (void)lq_fail_nomem(&op->op.err);
        rc = LUNAQ_ENOMEM;
    }
    for (size_t slot = 0; !rc && slot < LQ_SLOTS; slot++) {
        uint16_t owner = map->owner[slot];
        if (owner && map->nodes[owner - 1].slots) {
            map->nodes[owner - 1].slots = 0; /* one slot of each will do */
            w->nodes[w->node_count++] = (uint16_t)slot;
        }
    }
    if (!rc)
        enter(m, w->node_count ? KEYS : END);
    lq_cluster_map_release(map);
    lq_free(map);
    return rc;
}

static int parse_unlisted(lq_op_check *op, const lq_reply *reply)
{
    lq_check_memo *m = op->memo;
    lq_walk *w = m->own;
    if (lq_reply_int(reply, -1) == (op->repair ? 1 : 0) &&
        !lq_check_add(op, LQ_FAULT_QUEUE_UNKNOWN, w->suspects.items[m->at].id,
                      (lq_str){0}, op->repair))
        return lq_fail_nomem(&op->op.err);
    if (++m->at >= w->suspects.count)
        enter(m, END);
    return LUNAQ_OK;
}

static int check_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_check *op = (lq_op_check *)base;
    (void)i;
    op->count = 0;
    op->tasks = 0;
    int rc;
    switch ((enum phase)op->memo->phase) {
    case SCAN:
        rc = parse_scan(op, reply);
        break;
    case LOOK:
        rc = parse_look(op, reply);
        break;
    case FIX:
        rc = parse_fix(op, reply);
        break;
    case LISTED:
        rc = parse_listed(op, reply);
        break;
    case NODES:
        rc = parse_nodes(op, reply);
        break;
    case KEYS:
        rc = parse_keys(op, reply);
        break;
    case UNLISTED:
        rc = parse_unlisted(op, reply);
        break;
    default:
        rc = parse_page(op, reply);
    }
    op->more = op->memo->phase != END;
    return rc;
}

const lq_redis_op lq_inspect_check = {.build = check_build,
                                      .parse = check_parse};

/* In a cluster a walk over all keys is one of each node.  Where a node is
 * replaced meanwhile, or slots move, it may miss some. */
static int check_parse_in_cluster(lq_op *base, uint32_t i,
                                  const lq_reply *reply)
{
    const lq_op_check *op = (const lq_op_check *)base;
    bool listed = op->memo->phase == LISTED;
    int rc = check_parse(base, i, reply);
    if (listed && !rc)
        enter(op->memo, NODES);
    return rc;
}

const lq_redis_op lq_cluster_row_check = {.build = check_build,
                                          .parse = check_parse_in_cluster};
