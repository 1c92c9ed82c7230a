/* A database URL taken apart, for libpq. */
#include "db/target.h"

#include <libpq-fe.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_name(lq_str host)
{
    char text[64];
    unsigned char address[16];
    if (host.len == 0 || host.p[0] == '/' || host.p[0] == '@')
        return false; /* the default, or a unix socket */
    if (host.len >= sizeof text)
        return true;
    memcpy(text, host.p, host.len);
    text[host.len] = 0;
    return inet_pton(AF_INET, text, address) != 1 &&
           inet_pton(AF_INET6, text, address) != 1;
}

static bool has_names(const char *hosts)
{
    for (const char *p = hosts; *p;) {
        size_t len = strcspn(p, ",");
        if (is_name(lq_str_n(p, len)))
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

static const char *or_environment(const char *value, const char *name)
{
    if (!value || !*value)
        value = getenv(name);
    return value ? value : "";
}

static bool add(lq_target *t, const char *key, const char *value)
{
    if (t->count + 1 >= LQ_TARGET_KEYS)
        return false;
    t->keys[t->count] = lq_arena_dup(&t->arena, lq_str_c(key));
    t->values[t->count] = lq_arena_dup(&t->arena, lq_str_c(value));
    if (!t->keys[t->count] || !t->values[t->count])
        return false;
    t->count++;
    return true;
}

static const char *find(const lq_target *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->keys[i], key) == 0)
            return t->values[i];
    return NULL;
}

static bool describe(lq_target *t)
{
    const char *database = find(t, "dbname"), *port = t->ports;
    char text[256];
    snprintf(text, sizeof text, "%s%s%s/%s",
             *t->hosts ? t->hosts : "local socket", *port ? ":" : "", port,
             database ? database : "");
    t->where = lq_arena_dup(&t->arena, lq_str_c(text));
    return t->where != NULL;
}

int lq_target_init(lq_target *t, const char *url, lunaq_error *err)
{
    /* libpq's own message may quote a part of the URL, perhaps the password. */
    static const char fix[] =
        "database: the URL cannot be read; it has the form "
        "postgres://user:password@host:port/name, with %-escapes for "
        "characters such as @ / : in the password";
    lq_str s = lq_str_c(url);
    bool ok = true;
    memset(t, 0, sizeof *t);
    if (!lq_str_starts(s, LQ_STR("postgres://")) &&
        !lq_str_starts(s, LQ_STR("postgresql://")))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "database: the URL begins neither with sqlite: nor "
                       "with postgres://, as in sqlite:app.db and "
                       "postgres://user:password@host:port/name");
    PQconninfoOption *all = PQconninfoParse(url, NULL);
    if (!all)
        return lq_fail(err, LUNAQ_ECONFIG, "%s", fix);
    for (PQconninfoOption *o = all; ok && o->keyword; o++) {
        if (!o->val || strcmp(o->keyword, "client_encoding") == 0)
            continue;
        ok = add(t, o->keyword, o->val);
    }
    PQconninfoFree(all);
    ok = ok && add(t, "client_encoding", "UTF8") &&
         (find(t, "fallback_application_name") ||
          add(t, "fallback_application_name", "lunaq"));
    if (!ok)
        goto nomem;
    bool service = find(t, "service") || getenv("PGSERVICE");
    t->hosts = lq_arena_dup(
        &t->arena, lq_str_c(or_environment(find(t, "host"), "PGHOST")));
    t->ports = lq_arena_dup(
        &t->arena, lq_str_c(or_environment(find(t, "port"), "PGPORT")));
    if (!t->hosts || !t->ports || !describe(t))
        goto nomem;
    const char *address = or_environment(find(t, "hostaddr"), "PGHOSTADDR");
    t->needs_names = !service && !*address && has_names(t->hosts);
    return 0;
nomem:
    lq_target_release(t);
    return lq_fail_nomem(err);
}

void lq_target_release(lq_target *t)
{
    lq_arena_release(&t->arena);
    memset(t, 0, sizeof *t);
}
