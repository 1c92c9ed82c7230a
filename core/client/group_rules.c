/* Reading what servers say of groups, in the JSON beside their record:
 *
 *     "groups": {"all": false, "queues": {"default": {"grace_ms": 60000, …}}}
 *     "handlers": [{"type": "mail:*", "group": {"grace_ms": 0, …}}, …]
 *
 * "all": the server has an aggregator for every type.  A handler's rule has 0
 * where the queue's counts, and -1 for none. */
#include "client/group_rules.h"
#include "broker/inspect.h"

#include "base/alloc.h"

#include <cjson/cJSON.h>

struct lq_group_rules {
    cJSON **servers;
    size_t count;
};

void lq_group_rules_free(lq_group_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; rules->servers && i < rules->count; i++)
        cJSON_Delete(rules->servers[i]);
    lq_free(rules->servers);
    lq_free(rules);
}

int lq_group_rules_open(lq_group_rules **out, lunaq_client *client,
                        lunaq_error *err)
{
    lq_op_servers op = {0};
    lq_op_init(&op.op, LQ_OP_SERVERS);
    lq_group_rules *rules = lq_calloc(1, sizeof(*rules));
    if (!rules)
        return lq_fail_nomem(err);
    int rc = lq_client_call(client, &op.op, err);
    if (rc)
        goto out;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of pointers it is */
    rules->servers = lq_calloc(op.count + 1, sizeof(*rules->servers));
    if (!rules->servers) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < op.count; i++) {
        lq_str extra = op.rows[i].extra;
        cJSON *said =
            extra.p ? cJSON_ParseWithLength(extra.p, extra.len) : NULL;
        if (said)
            rules->servers[rules->count++] = said;
    }
out:
    lq_op_release(&op.op);
    if (rc)
        lq_group_rules_free(rules);
    else
        *out = rules;
    return rc;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static int64_t number(const cJSON *object, const char *name)
{
    const cJSON *v = member(object, name);
    double d = cJSON_IsNumber(v) ? v->valuedouble : 0;
    return d > -1e15 && d < 1e15 ? (int64_t)d : 0;
}

static const cJSON *member_of(const cJSON *object, lq_str name)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, object)
    {
        if (lq_str_eq(lq_str_c(v->string), name))
            return v;
    }
    return NULL;
}

/* How many bytes of the type a handler's type says; -1: it is not of it.  A
 * whole type goes before a prefix. */
static int64_t fit(const char *pattern, lq_str type)
{
    lq_str p = lq_str_c(pattern);
    if (p.len && p.p[p.len - 1] == '*') {
        p.len--;
        return lq_str_starts(type, p) ? (int64_t)p.len : -1;
    }
    return lq_str_eq(p, type) ? INT32_MAX : -1;
}

/* The `group` of a type's handler; NULL: it has none. */
static const cJSON *group_of_type(const cJSON *server, lq_str type)
{
    const cJSON *best = NULL, *handler;
    int64_t best_fit = -1;
    cJSON_ArrayForEach(handler, member(server, "handlers"))
    {
        int64_t f = fit(cJSON_GetStringValue(member(handler, "type")), type);
        if (f > best_fit) {
            best_fit = f;
            best = handler;
        }
    }
    return member(best, "group");
}

static int64_t said(const cJSON *handler, const cJSON *queue, const char *name)
{
    int64_t v = number(handler, name);
    v = v ? v : number(queue, name);
    return v > 0 ? v : 0;
}

/* Of the first of the group's tasks whose handler has one. */
static const cJSON *handler_group(const cJSON *server, const lq_group_row *row)
{
    const cJSON *group = NULL;
    lq_str rest = row->types, type;
    while (!group && lq_group_next_type(&rest, &type))
        group = group_of_type(server, type);
    return group;
}

int64_t lq_group_rules_due_ms(const lq_group_rules *rules, lq_str queue,
                              const lq_group_row *row)
{
    int64_t due = -1;
    for (size_t i = 0; i < rules->count; i++) {
        const cJSON *server = rules->servers[i];
        const cJSON *groups = member(server, "groups");
        const cJSON *of_queue = member_of(member(groups, "queues"), queue);
        bool all = cJSON_IsTrue(member(groups, "all"));
        const cJSON *of_handler = all ? NULL : handler_group(server, row);
        if (!of_queue || (!all && !of_handler))
            continue;
        lq_group_rule rule = {said(of_handler, of_queue, "grace_ms"),
                              said(of_handler, of_queue, "max_delay_ms"),
                              said(of_handler, of_queue, "max_size")};
        int64_t ms = lq_group_due_ms(row, &rule);
        if (due < 0 || ms < due)
            due = ms;
    }
    return due;
}
