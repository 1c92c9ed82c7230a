#include "redis/sentinel.h"

#include "redis/ops.h"

#include <stdio.h>

#define NAME_MAX_BYTES 255     /* of a host's name */
#define ANSWER_MAX_BYTES 65536 /* from one sentinel */

struct lq_sentinel {
    lq_url_host *hosts;
    size_t count;
    size_t first; /* the round begins here */
    size_t asked; /* of this round, before the one that is asked now */
    char *name;   /* the master's */
    char *user, *password;
    bool own_login; /* named for the sentinels, not borrowed from the servers */
    lq_buf out;
    size_t sent;
    lq_resp in;
    size_t received;
    bool login_due; /* the next reply is that to AUTH */
    lq_url_host master;
};

/* ---- making -------------------------------------------------------------- */

static bool copy(char **to, const char *from)
{
    *to = lq_strdup(from);
    return *to || !from;
}

/* Asynq's URLs mean the sentinels' password by what stands before the '@'; for
 * us, as everywhere, it is the servers'.  So it is offered to both, and who
 * wants none is content (see take_login() and proto.c). */
static bool copy_login(lq_sentinel *s, const lq_url *url)
{
    s->own_login = url->sentinel_user || url->sentinel_password;
    return s->own_login
               ? copy(&s->user, url->sentinel_user) &&
                     copy(&s->password, url->sentinel_password)
               : copy(&s->user, url->user) && copy(&s->password, url->password);
}

int lq_sentinel_new(lq_sentinel **out, const lq_url *url, lunaq_error *err)
{
    lq_sentinel *s = lq_calloc(1, sizeof(*s));
    bool ok = s != NULL;

    *out = NULL;
    if (!ok)
        return lq_fail_nomem(err);
    lq_buf_init(&s->out, 0);
    s->hosts = lq_calloc(url->host_count, sizeof(*s->hosts));
    ok = s->hosts && copy(&s->name, url->master) && copy_login(s, url);
    for (size_t i = 0; ok && i < url->host_count; i++) {
        s->hosts[i].port = url->hosts[i].port;
        ok = copy(&s->hosts[i].name, url->hosts[i].name);
        s->count++;
    }
    if (!ok) {
        lq_sentinel_free(s);
        return lq_fail_nomem(err);
    }
    *out = s;
    return LUNAQ_OK;
}

void lq_sentinel_free(lq_sentinel *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->hosts && i < s->count; i++)
        lq_free(s->hosts[i].name);
    lq_free(s->hosts);
    lq_free(s->name);
    lq_free(s->user);
    lq_free(s->password);
    lq_free(s->master.name);
    lq_buf_release(&s->out);
    lq_resp_release(&s->in);
    lq_free(s);
}

/* ---- the round ----------------------------------------------------------- */

static size_t at(const lq_sentinel *s)
{
    return (s->first + s->asked) % s->count;
}

const lq_url_host *lq_sentinel_whom(const lq_sentinel *s)
{
    return &s->hosts[at(s)];
}

bool lq_sentinel_next(lq_sentinel *s)
{
    s->asked = (s->asked + 1) % s->count;
    return s->asked != 0;
}

void lq_sentinel_was_right(lq_sentinel *s)
{
    s->first = at(s);
    s->asked = 0;
}

/* ---- one sentinel -------------------------------------------------------- */

int lq_sentinel_begin(lq_sentinel *s, lunaq_error *err)
{
    lq_cmd c;
    bool ok = true;

    lq_free(s->master.name);
    s->master = (lq_url_host){0};
    lq_resp_release(&s->in);
    lq_buf_clear(&s->out);
    s->sent = s->received = 0;
    s->login_due = s->user || s->password;
    lq_cmd_init(&c);
    if (s->login_due) {
        lq_cmd_c(&c, "AUTH");
        if (s->user)
            lq_cmd_c(&c, s->user);
        lq_cmd_c(&c, s->password ? s->password : "");
        ok = lq_cmd_format(&c, &s->out);
        lq_cmd_clear(&c);
    }
    lq_cmd_c(&c, "SENTINEL");
    lq_cmd_c(&c, "get-master-addr-by-name");
    lq_cmd_c(&c, s->name);
    ok = ok && lq_cmd_format(&c, &s->out);
    lq_cmd_release(&c);
    return ok ? LUNAQ_OK : lq_fail_nomem(err);
}

lq_str lq_sentinel_output(const lq_sentinel *s)
{
    if (s->sent >= s->out.len)
        return (lq_str){0};
    return lq_str_n(s->out.p + s->sent, s->out.len - s->sent);
}

void lq_sentinel_sent(lq_sentinel *s, size_t n)
{
    s->sent += n;
}

const lq_url_host *lq_sentinel_master(const lq_sentinel *s)
{
    return s->master.name ? &s->master : NULL;
}

static int take_login(lq_sentinel *s, const lq_reply *reply, lunaq_error *err)
{
    lq_str text = lq_reply_error(reply);
    char said[100];

    s->login_due = false;
    if (!text.p)
        return LUNAQ_OK;
    if (!s->own_login && lq_redis_wants_no_login(text))
        return LUNAQ_OK;
    lq_redis_login_text(text, s->password, said, sizeof(said));
    return lq_fail(err, LUNAQ_ECONFIG,
                   "sentinel: login refused: %s: check sentinel_user= and "
                   "sentinel_password= in the broker URL",
                   said);
}

/* A name or address that can be connected to, as one of sentinel's would be. */
static bool is_host(lq_str host)
{
    if (host.len == 0 || host.len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (host.p[i] <= ' ' || host.p[i] > '~' || host.p[i] == '/')
            return false;
    return true;
}

static int take_answer(lq_sentinel *s, const lq_reply *reply, lunaq_error *err)
{
    lq_str text = lq_reply_error(reply), host;
    int64_t port;

    if (text.p && lq_str_starts(text, LQ_STR("NOAUTH")))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sentinel: it wants a login: give sentinel_password= "
                       "in the broker URL");
    if (text.p && lq_str_starts(text, LQ_STR("IDONTKNOW")))
        return lq_fail(err, LUNAQ_EBROKER,
                       "sentinel: it does not know yet where '%s' is", s->name);
    if (text.p)
        return lq_redis_error(err, "sentinel", reply);
    if (lq_reply_type(reply) == LQ_REPLY_NIL)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sentinel: it knows no master '%s': check master= in "
                       "the broker URL",
                       s->name);
    host = lq_reply_str(lq_reply_at(reply, 0));
    port = lq_reply_int(lq_reply_at(reply, 1), 0);
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY || lq_reply_count(reply) != 2 ||
        !is_host(host) || port < 1 || port > 65535)
        return lq_fail(err, LUNAQ_EPROTO,
                       "sentinel: its answer is no address: is it a sentinel?");
    s->master.port = (int)port;
    s->master.name = lq_strdup_n(host);
    return s->master.name ? LUNAQ_OK : lq_fail_nomem(err);
}

int lq_sentinel_received(lq_sentinel *s, const char *p, size_t n,
                         lunaq_error *err)
{
    int rc = LUNAQ_OK;

    s->received += n;
    if (s->received > ANSWER_MAX_BYTES)
        return lq_fail(err, LUNAQ_EPROTO,
                       "sentinel: its answer does not end: is it a sentinel?");
    for (size_t done = 0, used; done < n && !rc && !s->master.name;
         done += used) {
        lq_reply *reply = NULL;
        rc = lq_resp_feed(&s->in, p + done, n - done, &used, err);
        while (!rc && !s->master.name &&
               !(rc = lq_resp_next(&s->in, &reply, err)) && reply) {
            rc = s->login_due ? take_login(s, reply, err)
                              : take_answer(s, reply, err);
            lq_reply_free(reply);
        }
    }
    return rc;
}
