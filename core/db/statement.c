/* The statements that a connection has prepared, by their text.
 *
 * A text that is new to a connection runs unprepared once: what is built once
 * (with values pasted in, say) then costs one round trip and pushes nothing
 * useful out of the cache for long.  The second time it is prepared.
 */
#include "db/conn.h"

#include <stdio.h>

static void stmt_free(lq_stmt *s)
{
    lq_list_remove(&s->lru);
    lq_free((void *)(uintptr_t)s->sql.p);
    lq_free(s->types);
    lq_free(s);
}

void lq_stmt_forget(lq_conn *c, lq_stmt *s)
{
    lq_map_remove(&c->statements, s->sql);
    if (c->stmt == s)
        c->stmt = NULL;
    stmt_free(s);
}

void lq_stmt_free_all(lq_conn *c)
{
    LQ_LIST_EACH (&c->lru, node)
        stmt_free(LQ_OF(node, lq_stmt, lru));
    lq_map_release(&c->statements);
    c->stmt = NULL;
}

/* Room for one more: the one not used for longest goes. */
static void evict(lq_conn *c)
{
    if (c->statements.count < LQ_BACKEND_STATEMENTS || c->evicted[0])
        return; /* inside of a transaction nothing is deallocated: it grows */
    lq_stmt *oldest = LQ_OF(c->lru.prev, lq_stmt, lru);
    if (oldest->prepared)
        memcpy(c->evicted, oldest->name, sizeof c->evicted);
    lq_stmt_forget(c, oldest);
}

lq_stmt *lq_stmt_get(lq_conn *c, lq_str sql, bool *fresh)
{
    lq_stmt *s = lq_map_get(&c->statements, sql);
    *fresh = s == NULL;
    if (s) {
        lq_list_remove(&s->lru);
        lq_list_append(c->lru.next, &s->lru); /* to the front */
        return s;
    }
    evict(c);
    s = lq_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    lq_list_init(&s->lru);
    char *copy = lq_strdup_n(sql);
    s->sql = lq_str_n(copy, sql.len);
    if (!copy || !lq_map_set(&c->statements, s->sql, s, NULL)) {
        stmt_free(s);
        return NULL;
    }
    snprintf(s->name, sizeof s->name, "lunaq_%u", c->next_name++);
    lq_list_append(c->lru.next, &s->lru);
    return s;
}
