/* What an application's keys in Redis begin with, in a broker's URL. */
#include "broker/url.h"

#include "base/alloc.h"
#include "base/buf.h"

int lq_prefix_check(lq_str prefix, lunaq_error *err)
{
    if (prefix.len == 0 || prefix.len > LQ_PREFIX_MAX)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "prefix: it needs 1 to %d characters", LQ_PREFIX_MAX);
    for (size_t i = 0; i < prefix.len; i++) {
        char c = prefix.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "prefix: character %zu is not allowed: use letters, "
                           "digits, '_', '-' and '.'",
                           i + 1);
    }
    if (lq_str_eq(prefix, LQ_STR("lunaq")))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "prefix: \"lunaq\" is what lunaq's own keys begin with: "
                       "use another");
    return LUNAQ_OK;
}

int lq_url_with_prefix(char **out, const char *text, const char *prefix,
                       lunaq_error *err)
{
    lq_url u;
    *out = NULL;
    int rc = lq_url_parse(&u, text, err);
    if (rc)
        return rc;
    bool wanted = prefix && *prefix &&
                  (u.prefix || strcmp(prefix, LQ_PREFIX_DEFAULT) != 0);
    if (wanted)
        rc = lq_prefix_check(lq_str_c(prefix), err);
    if (rc) {
    } else if (wanted && u.scheme == LQ_URL_SQLITE) {
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "prefix: a queue file needs none: give each application "
                     "a file of its own, such as sqlite:%s.db",
                     prefix);
    } else if (wanted && u.prefix && strcmp(u.prefix, prefix) != 0) {
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "prefix: it is \"%s\", but the broker's URL says \"%s\": "
                     "give only one of them",
                     prefix, u.prefix);
    } else if (wanted && !u.prefix) {
        lq_buf made;
        lq_buf_init(&made, 0);
        lq_buf_add_c(&made, text);
        lq_url_add(&made, "prefix", prefix);
        *out = made.failed ? NULL : lq_strdup_n(lq_buf_str(&made));
        lq_buf_release(&made);
    } else {
        *out = lq_strdup(text);
    }
    lq_url_release(&u);
    return rc ? rc : *out ? LUNAQ_OK : lq_fail_nomem(err);
}
