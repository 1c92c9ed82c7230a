/* A session without a socket: where it wants to go, what it says there, and
 * what becomes of bad masters. */
#include "support/test.h"

#include "redis/session.h"

#define ROLE "*1\r\n$4\r\nROLE\r\n"
#define INFO "$22\r\nredis_version:7.0.15\r\n\r\n+PONG\r\n"
#define MASTER "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define REPLICA                                                                \
    "*5\r\n$5\r\nslave\r\n$1\r\na\r\n:6379\r\n$9\r\nconnected\r\n:1\r\n"

static lq_session *make(const char *text)
{
    lq_session *s = NULL;
    lq_url url;
    assert_int_equal(lq_url_parse(&url, text, NULL), LUNAQ_OK);
    assert_int_equal(lq_session_new(&s, &url, NULL, NULL), LUNAQ_OK);
    lq_url_release(&url);
    return s;
}

static void end(lq_session *s)
{
    lunaq_error why = {LUNAQ_ECANCELED, "the test ends"};
    (void)lq_session_lost(s, &why);
    while (lq_proto_finished(lq_session_proto(s)))
        ;
    lq_session_free(s);
}

static void assert_where(const lq_session *s, const char *host, int port)
{
    const char *there;
    int number;
    lq_session_where(s, &there, &number);
    assert_string_equal(there, host);
    assert_int_equal(number, port);
}

static const char *said(lq_session *s)
{
    static char text[4096];
    size_t len = 0;
    int rc;
    for (lq_str out; (out = lq_session_output(s, &rc, NULL)).len;) {
        assert_int_equal(rc, 0);
        assert_true(len + out.len < sizeof(text));
        memcpy(text + len, out.p, out.len);
        len += out.len;
        lq_session_sent(s, out.len);
    }
    text[len] = 0;
    return text;
}

static int hear(lq_session *s, const char *bytes, lunaq_error *err)
{
    lq_str heard = lq_str_c(bytes);
    size_t size;
    char *space = lq_session_space(s, &size);
    assert_true(space && heard.len <= size);
    memcpy(space, heard.p, heard.len);
    return lq_session_received(s, heard.len, err);
}

/* A sentinel answers. */
static void named(lq_session *s, const char *answer)
{
    assert_int_equal(lq_session_begin(s, NULL), 0);
    assert_int_equal(lq_session_state(s), LQ_SESSION_ASKING);
    assert_non_null(strstr(said(s), "get-master-addr-by-name"));
    assert_int_equal(hear(s, answer, NULL), 0);
    assert_true(lq_session_hop(s));
    assert_false(lq_session_hop(s));
    assert_int_equal(lq_session_state(s), LQ_SESSION_DOWN);
}

static bool lost(lq_session *s, lunaq_error *why)
{
    *why = (lunaq_error){LUNAQ_EBROKER, "refused"};
    return lq_session_lost(s, why);
}

static void sentinel__names_a_master__that_has_to_say_so(void **state)
{
    lq_session *s = make("redis-sentinel://a,b:7/2?master=m");
    lunaq_error why;
    (void)state;
    assert_true(lq_session_has_choice(s));
    assert_where(s, "a", 26379);
    named(s, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6380\r\n");
    assert_where(s, "10.0.0.1", 6380);
    assert_int_equal(lq_session_begin(s, NULL), 0);
    const char *out = said(s);
    assert_non_null(strstr(out, "SELECT"));
    assert_non_null(strstr(out, ROLE));
    assert_int_equal(hear(s, "+OK\r\n" MASTER INFO, NULL), 0);
    assert_int_equal(lq_session_state(s), LQ_SESSION_READY);
    /* Lost: the one who was right is asked first. */
    assert_false(lost(s, &why));
    assert_where(s, "a", 26379);
    end(s);
}

static void sentinel__names_a_replica__the_next_is_asked(void **state)
{
    lq_session *s = make("redis-sentinel://a,b:7?master=m");
    lunaq_error err = LUNAQ_ERROR_INIT, why;
    (void)state;
    named(s, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6380\r\n");
    assert_int_equal(lq_session_begin(s, NULL), 0);
    (void)said(s);
    assert_int_equal(hear(s, REPLICA, &err), LUNAQ_EBROKER);
    assert_non_null(strstr(err.message, "not (yet) a master"));
    assert_true(lost(s, &why)); /* at once */
    assert_where(s, "b", 7);
    named(s, "*2\r\n$8\r\n10.0.0.2\r\n$4\r\n6381\r\n");
    assert_where(s, "10.0.0.2", 6381);
    assert_false(lost(s, &why)); /* could not connect; all were asked */
    assert_non_null(strstr(why.message, "no sentinel led to a master"));
    assert_where(s, "a", 26379);
    end(s);
}

static void sentinel__silent_or_odd__the_next_is_asked(void **state)
{
    lq_session *s = make("redis-sentinel://a,b,c?master=m");
    lunaq_error why;
    (void)state;
    assert_true(lost(s, &why)); /* never connected */
    assert_where(s, "b", 26379);
    assert_int_equal(lq_session_begin(s, NULL), 0);
    (void)said(s);
    assert_int_equal(hear(s, "HTTP/1.1 200 OK\r\n", NULL), LUNAQ_EPROTO);
    assert_true(lost(s, &why));
    assert_where(s, "c", 26379);
    named(s, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6380\r\n");
    assert_int_equal(lq_session_begin(s, NULL), 0);
    (void)said(s);
    assert_int_equal(hear(s, MASTER INFO, NULL), 0);
    assert_int_equal(lq_session_state(s), LQ_SESSION_READY);
    assert_false(lost(s, &why));
    assert_where(s, "c", 26379); /* it was right */
    end(s);
}

static void role__may_not_be_asked__is_let_through(void **state)
{
    lq_session *s = make("redis-sentinel://a?master=m");
    (void)state;
    named(s, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6380\r\n");
    assert_int_equal(lq_session_begin(s, NULL), 0);
    (void)said(s);
    assert_int_equal(hear(s, "-NOPERM no\r\n-NOPERM no\r\n+PONG\r\n", NULL), 0);
    assert_int_equal(lq_session_state(s), LQ_SESSION_READY);
    end(s);
}

/* As Asynq's URLs: the password is the sentinels', the servers have none. */
static void login__servers_want_none__is_no_error(void **state)
{
    lq_session *s = make("redis-sentinel://:p@a?master=m");
    (void)state;
    named(s, "+OK\r\n*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6380\r\n");
    assert_int_equal(lq_session_begin(s, NULL), 0);
    assert_non_null(strstr(said(s), "AUTH"));
    assert_int_equal(
        hear(s,
             "-ERR AUTH <password> called without any password configured for "
             "the default user. Are you sure your configuration is "
             "correct?\r\n" MASTER INFO,
             NULL),
        0);
    assert_int_equal(lq_session_state(s), LQ_SESSION_READY);
    end(s);
}

static void readonly__of_an_operation__ends_the_connection(void **state)
{
    lq_session *s = make("redis-sentinel://a,b?master=m");
    lq_op_clean op = {.queue = LQ_STR("q")};
    lunaq_error err = LUNAQ_ERROR_INIT;
    (void)state;
    named(s, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6380\r\n");
    assert_int_equal(lq_session_begin(s, NULL), 0);
    (void)said(s);
    assert_int_equal(hear(s, MASTER INFO, NULL), 0);
    lq_op_init(&op.op, LQ_OP_CLEAN);
    lq_proto_submit(lq_session_proto(s), &op.op);
    (void)said(s);
    assert_int_equal(
        hear(s, "-READONLY You can't write against a read only replica.\r\n",
             &err),
        LUNAQ_EBROKER);
    assert_ptr_equal(lq_proto_finished(lq_session_proto(s)), &op.op);
    assert_int_equal(op.op.rc, LUNAQ_EBROKER); /* not carried out */
    lq_op_release(&op.op);
    assert_false(lq_session_lost(s, &err));
    assert_where(s, "a", 26379);
    end(s);
}

static void plain__one_place__is_all_there_is(void **state)
{
    lq_session *s = make("redis-socket:///run/r.sock");
    lunaq_error why;
    (void)state;
    assert_false(lq_session_has_choice(s));
    assert_where(s, "/run/r.sock", 0);
    assert_int_equal(lq_session_begin(s, NULL), 0);
    assert_null(strstr(said(s), "ROLE"));
    assert_non_null(strstr(lq_session_why_closed(s), "rediss://"));
    assert_int_equal(hear(s, INFO, NULL), 0);
    assert_string_equal(lq_session_why_closed(s), "");
    assert_false(lost(s, &why));
    assert_string_equal(why.message, "refused");
    end(s);
}

static void tls__before_anything__is_the_handshake(void **state)
{
    lq_session *s = make("rediss://h?insecure=true");
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc;
    (void)state;
    assert_int_equal(lq_session_begin(s, NULL), 0);
    assert_int_equal(lq_session_state(s), LQ_SESSION_SECURING);
    lq_str out = lq_session_output(s, &rc, NULL);
    assert_true(out.len > 50);
    assert_int_equal(out.p[0], 22); /* a handshake record */
    lq_session_sent(s, out.len);
    assert_int_equal(hear(s, "-ERR what?\r\n", &err), LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "does not speak TLS"));
    end(s);
}

/* Whatever a server sends into a handshake: a code, and no crash. */
static void tls__junk__is_refused(void **state)
{
    /* How a record of the handshake begins. */
    static const char record[] = {0x16, 3, 3, 0, 0x3b, 2, 0, 0, 0x37, 3, 3};
    uint32_t seed = 11;
    (void)state;
    for (int i = 0; i < 300; i++) {
        lq_session *s = make("rediss://h?insecure=true");
        char bytes[64];
        size_t size;
        assert_int_equal(lq_session_begin(s, NULL), 0);
        for (size_t k = 0; k < sizeof(bytes); k++) {
            seed = seed * 1664525 + 1013904223;
            bytes[k] = (char)(seed >> 24);
        }
        if (i % 2)
            memcpy(bytes, record, sizeof(record));
        char *space = lq_session_space(s, &size);
        memcpy(space, bytes, sizeof(bytes));
        assert_int_not_equal(lq_session_received(s, sizeof(bytes), NULL), 0);
        end(s);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentinel__names_a_master__that_has_to_say_so),
        cmocka_unit_test(sentinel__names_a_replica__the_next_is_asked),
        cmocka_unit_test(sentinel__silent_or_odd__the_next_is_asked),
        cmocka_unit_test(role__may_not_be_asked__is_let_through),
        cmocka_unit_test(login__servers_want_none__is_no_error),
        cmocka_unit_test(readonly__of_an_operation__ends_the_connection),
        cmocka_unit_test(plain__one_place__is_all_there_is),
        cmocka_unit_test(tls__before_anything__is_the_handshake),
        cmocka_unit_test(tls__junk__is_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
