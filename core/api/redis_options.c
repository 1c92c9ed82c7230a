#include "api/redis_options.h"

#include "base/alloc.h"
#include "base/sized.h"
#include "broker/url.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(lunaq_redis_options) ==
                  offsetof(lunaq_redis_options, insecure) + sizeof(int64_t),
              "a new field must not hide in padding");

static const struct setting {
    const char *name, *variable;
    bool tls;         /* of TLS; else of sentinels */
    size_t option;    /* in lunaq_redis_options */
    size_t in_parsed; /* in lq_url */
} settings[] = {
    {"ca", "LUNAQ_REDIS_CA", true, offsetof(lunaq_redis_options, ca),
     offsetof(lq_url, ca)},
    {"cert", "LUNAQ_REDIS_CERT", true, offsetof(lunaq_redis_options, cert),
     offsetof(lq_url, cert)},
    {"key", "LUNAQ_REDIS_KEY", true, offsetof(lunaq_redis_options, key),
     offsetof(lq_url, key)},
    {"server_name", "LUNAQ_REDIS_SERVER_NAME", true,
     offsetof(lunaq_redis_options, server_name), offsetof(lq_url, server_name)},
    {"sentinel_user", "LUNAQ_REDIS_SENTINEL_USER", false,
     offsetof(lunaq_redis_options, sentinel_user),
     offsetof(lq_url, sentinel_user)},
    {"sentinel_password", "LUNAQ_REDIS_SENTINEL_PASSWORD", false,
     offsetof(lunaq_redis_options, sentinel_password),
     offsetof(lq_url, sentinel_password)},
};

static const char *text_at(const void *of, size_t offset)
{
    return *(const char *const *)((const char *)of + offset);
}

static const char *value_of(const struct setting *s,
                            const lunaq_redis_options *o)
{
    const char *value = text_at(o, s->option);
    if (!value || !*value)
        value = getenv(s->variable);
    return value && *value ? value : NULL;
}

static void apply_insecure(lq_buf *b, const lunaq_redis_options *o)
{
    const char *value = getenv("LUNAQ_REDIS_INSECURE");
    bool on =
        o->insecure ||
        (value && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0));
    lq_str text = lq_buf_str(b), query = lq_url_cut_query(&text);
    lq_str own = LQ_STR("insecure=");
    if (on && (!query.len || !memmem(query.p, query.len, own.p, own.len)))
        lq_url_add(b, "insecure", "true");
}

int lq_redis_options_apply(char **out, const char *url,
                           const lunaq_redis_options *options, lunaq_error *err)
{
    lunaq_redis_options o = LUNAQ_REDIS_OPTIONS_INIT;
    lq_url parsed;
    lq_buf b;
    int rc = LUNAQ_OK;

    *out = NULL;
    if (options)
        rc = lq_sized_copy(&o, sizeof(o), options, "lunaq_redis_options", err);
    if (!rc)
        rc = lq_url_parse(&parsed, url, err);
    if (rc)
        return rc;
    bool sentinel = parsed.scheme == LQ_URL_REDIS_SENTINEL;
    lq_buf_init(&b, 0);
    lq_buf_add_c(&b, url);
    for (size_t i = 0; i < LQ_COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        const char *value = value_of(s, &o);
        if (value && (s->tls ? parsed.tls : sentinel) &&
            !text_at(&parsed, s->in_parsed))
            lq_url_add(&b, s->name, value);
    }
    if (parsed.tls)
        apply_insecure(&b, &o);
    lq_url_release(&parsed);
    *out = b.failed ? NULL : lq_strdup_n(lq_buf_str(&b));
    lq_buf_release(&b);
    return *out ? LUNAQ_OK : lq_fail_nomem(err);
}
