/* Any text as a broker's URL, and any bytes as what sentinels and servers say,
 * also in the middle of TLS.  A URL that is taken is shown without its
 * password; a master that is named can be connected to. */
#include "fuzz.h"

#include "base/alloc.h"
#include "redis/session.h"

static void try_url(const char *text)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    char shown[300], redacted[] = "\x01\x02\x03";
    lq_url u;

    if (lq_url_parse(&u, text, &err)) {
        CHECK(err.code == LUNAQ_ECONFIG || err.code == LUNAQ_ENOMEM);
        CHECK(err.message[0]);
        return;
    }
    CHECK(u.host || u.host_count);
    CHECK(!u.hosts || u.host_count);
    lq_url_show(&u, shown, sizeof(shown));
    const char *there = strstr(text, redacted); /* and nowhere else */
    if (u.password && strstr(u.password, redacted) && there &&
        !strstr(there + 1, redacted))
        CHECK(!strstr(shown, redacted));
    lq_url_release(&u);
}

/* Goes where the session wants to go, and hears a piece of the bytes there. */
static void try_session(const char *url, const uint8_t *p, size_t len)
{
    lq_session *s = NULL;
    lq_url u;
    CHECK(lq_url_parse(&u, url, NULL) == LUNAQ_OK);
    CHECK(lq_session_new(&s, &u, NULL, NULL) == LUNAQ_OK);
    lq_url_release(&u);
    for (size_t at = 0; at < len;) {
        lunaq_error why = {LUNAQ_EBROKER, "lost"};
        const char *host;
        size_t size;
        int port, rc = LUNAQ_OK;
        if (lq_session_state(s) == LQ_SESSION_DOWN) {
            lq_session_where(s, &host, &port);
            CHECK(host && host[0] && port > 0 && port < 65536);
            rc = lq_session_begin(s, &why);
        }
        for (lq_str out; !rc && (out = lq_session_output(s, &rc, &why)).len;)
            lq_session_sent(s, out.len);
        char *space = rc ? NULL : lq_session_space(s, &size);
        size_t n = p[at] % 32u + 1;
        n = n < len - at ? n : len - at;
        if (space) {
            memcpy(space, p + at, n);
            rc = lq_session_received(s, n, &why);
        }
        at += n;
        if (rc)
            (void)lq_session_lost(s, &why);
        else
            (void)lq_session_hop(s);
    }
    lunaq_error end = {LUNAQ_ECANCELED, "closed"};
    (void)lq_session_lost(s, &end);
    lq_session_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    int64_t live = lq_alloc_live();
    if (len == 0)
        return 0;
    if (p[0] % 4 == 0) {
        char *text = lq_strdup_n(lq_str_n(p + 1, len - 1));
        CHECK(text);
        try_url(text);
        lq_free(text);
    } else {
        static const char *const urls[] = {
            "redis-sentinel://u:p@a,b:7?master=m", "redis://:p@h/3",
            "rediss://h?insecure=true"};
        try_session(urls[p[0] % 4 - 1], p + 1, len - 1);
    }
    CHECK(lq_alloc_live() == live);
    return 0;
}
