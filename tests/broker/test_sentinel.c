/* Asking sentinels, without a socket: what is asked, whom, and what is made of
 * answers good and bad. */
#include "support/test.h"

#include "base/alloc.h"
#include "redis/sentinel.h"

#include <stdio.h>

#define QUESTION                                                               \
    "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$2\r\nm1\r\n"
#define ANSWER "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6380\r\n"

static lq_sentinel *make(const char *text)
{
    lq_sentinel *s = NULL;
    lq_url url;
    assert_int_equal(lq_url_parse(&url, text, NULL), LUNAQ_OK);
    assert_int_equal(lq_sentinel_new(&s, &url, NULL), LUNAQ_OK);
    lq_url_release(&url);
    return s;
}

static void said(lq_sentinel *s, const char *text)
{
    lq_str out = lq_sentinel_output(s);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.p, text, out.len);
    lq_sentinel_sent(s, out.len);
    assert_int_equal(lq_sentinel_output(s).len, 0);
}

static int hear(lq_sentinel *s, const char *bytes, lunaq_error *err)
{
    return lq_sentinel_received(s, bytes, strlen(bytes), err);
}

static void answer__comes_in_pieces__is_the_master(void **state)
{
    lq_sentinel *s = make("redis-sentinel://a?master=m1");
    (void)state;
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    said(s, QUESTION);
    for (size_t i = 0; i < strlen(ANSWER); i++) {
        assert_null(lq_sentinel_master(s));
        assert_int_equal(lq_sentinel_received(s, &ANSWER[i], 1, NULL), 0);
    }
    assert_non_null(lq_sentinel_master(s));
    assert_string_equal(lq_sentinel_master(s)->name, "127.0.0.1");
    assert_int_equal(lq_sentinel_master(s)->port, 6380);
    assert_int_equal(lq_sentinel_begin(s, NULL), 0); /* forgotten */
    assert_null(lq_sentinel_master(s));
    lq_sentinel_free(s);
}

static void round__goes_in_order__and_begins_with_who_was_right(void **state)
{
    lq_sentinel *s = make("redis-sentinel://a,b:7,c?master=m1");
    (void)state;
    assert_string_equal(lq_sentinel_whom(s)->name, "a");
    assert_int_equal(lq_sentinel_whom(s)->port, 26379);
    assert_true(lq_sentinel_next(s));
    assert_string_equal(lq_sentinel_whom(s)->name, "b");
    assert_int_equal(lq_sentinel_whom(s)->port, 7);
    lq_sentinel_was_right(s);
    assert_string_equal(lq_sentinel_whom(s)->name, "b");
    assert_true(lq_sentinel_next(s));
    assert_string_equal(lq_sentinel_whom(s)->name, "c");
    assert_true(lq_sentinel_next(s));
    assert_string_equal(lq_sentinel_whom(s)->name, "a");
    assert_false(lq_sentinel_next(s)); /* all were asked */
    assert_string_equal(lq_sentinel_whom(s)->name, "b");
    lq_sentinel_free(s);
}

static void login__of_its_own__is_used(void **state)
{
    lq_sentinel *s = make("redis-sentinel://u:p@a?master=m1&sentinel_user=su"
                          "&sentinel_password=sp");
    lunaq_error err = LUNAQ_ERROR_INIT;
    (void)state;
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    said(s, "*3\r\n$4\r\nAUTH\r\n$2\r\nsu\r\n$2\r\nsp\r\n" QUESTION);
    assert_int_equal(hear(s, "+OK\r\n" ANSWER, NULL), 0);
    assert_non_null(lq_sentinel_master(s));
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    assert_int_equal(
        hear(s,
             "-ERR AUTH <password> called without any password configured "
             "for the default user.\r\n",
             &err),
        LUNAQ_ECONFIG); /* asked for by name, so it is an error */
    assert_non_null(strstr(err.message, "sentinel_password"));
    assert_null(strstr(err.message, "sp@"));
    lq_sentinel_free(s);
}

static void login__of_the_servers__is_offered(void **state)
{
    lq_sentinel *s = make("redis-sentinel://:p@a?master=m1");
    (void)state;
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    said(s, "*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n" QUESTION);
    assert_int_equal(
        hear(s,
             "-ERR AUTH <password> called without any password configured for "
             "the default user. Are you sure?\r\n" ANSWER,
             NULL),
        0);
    assert_non_null(lq_sentinel_master(s));
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    assert_int_equal(hear(s, "-WRONGPASS no\r\n", NULL), LUNAQ_ECONFIG);
    lq_sentinel_free(s);
}

/* As sentinels before 5.0.1 do, which knew no AUTH. */
static void login__repeated_by_the_sentinel__is_not_told(void **state)
{
    lq_sentinel *s = make("redis-sentinel://a?master=m1&sentinel_user=ann"
                          "&sentinel_password=sesame");
    lunaq_error err = LUNAQ_ERROR_INIT;
    (void)state;
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    assert_int_equal(hear(s,
                          "-ERR unknown command `AUTH`, with args beginning "
                          "with: `ann`, `sesame`, \r\n",
                          &err),
                     LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "unknown command `AUTH`:"));
    assert_null(strstr(err.message, "sesame"));
    lq_sentinel_free(s);
}

struct bad {
    const char *heard;
    int code;
    const char *says;
};

static struct bad bad[] = {
    {"*-1\r\n", LUNAQ_ECONFIG, "knows no master 'm1'"},
    {"$-1\r\n", LUNAQ_ECONFIG, "knows no master 'm1'"},
    {"-IDONTKNOW I have not\r\n", LUNAQ_EBROKER, "does not know yet"},
    {"-NOAUTH Authentication required.\r\n", LUNAQ_ECONFIG, "login"},
    {"-ERR unknown command 'SENTINEL'\r\n", LUNAQ_EREPLY, "unknown command"},
    {"-LOADING\r\n", LUNAQ_EREPLY, "LOADING"},
    {"+OK\r\n", LUNAQ_EPROTO, "is it a sentinel?"},
    {":1\r\n", LUNAQ_EPROTO, "is it a sentinel?"},
    {"*0\r\n", LUNAQ_EPROTO, "is it a sentinel?"},
    {"*1\r\n$1\r\na\r\n", LUNAQ_EPROTO, "is it a sentinel?"},
    {"*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$0\r\n\r\n$4\r\n6380\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$1\r\na\r\n$1\r\n0\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$1\r\na\r\n$5\r\n65536\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$1\r\na\r\n$2\r\n-1\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$1\r\na\r\n$1\r\nx\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$3\r\na b\r\n$4\r\n6380\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$6\r\n/a.soc\r\n$4\r\n6380\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n*0\r\n$4\r\n6380\r\n", LUNAQ_EPROTO, "is it"},
    {"*2\r\n$-1\r\n$-1\r\n", LUNAQ_EPROTO, "is it"},
    {"HTTP/1.1 400 Bad Request\r\n", LUNAQ_EPROTO, ""},
    {"\x15\x03\x01\x00\x02\x02\x46\r\n", LUNAQ_EPROTO, ""},
};

static void answer__bad__is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(bad); i++) {
        lq_sentinel *s = make("redis-sentinel://a?master=m1");
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(lq_sentinel_begin(s, NULL), 0);
        int rc = hear(s, bad[i].heard, &err);
        if (rc != bad[i].code || !strstr(err.message, bad[i].says))
            fail_msg("%s: %d: %s", bad[i].heard, rc, err.message);
        assert_null(lq_sentinel_master(s));
        lq_sentinel_free(s);
    }
}

static void answer__endless__is_given_up(void **state)
{
    lq_sentinel *s = make("redis-sentinel://a?master=m1");
    char bytes[1024];
    int rc = 0;
    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(lq_sentinel_begin(s, NULL), 0);
    assert_int_equal(hear(s, "*2\r\n$100000000\r\n", NULL), 0);
    for (int i = 0; i < 100 && !rc; i++)
        rc = lq_sentinel_received(s, bytes, sizeof(bytes), NULL);
    assert_int_equal(rc, LUNAQ_EPROTO);
    lq_sentinel_free(s);
}

/* Good answers with bytes changed, cut and doubled: whatever comes of it, it
 * is a plausible address or a code, and nothing leaks. */
static void answer__mutated__is_an_address_or_an_error(void **state)
{
    lq_sentinel *s = make("redis-sentinel://:p@a?master=m1");
    uint32_t seed = 7;
    int found = 0;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[128] = "+OK\r\n" ANSWER;
        size_t len = strlen(text);
        seed = seed * 1664525 + 1013904223;
        for (uint32_t k = 0; k < (seed >> 8) % 4; k++) {
            seed = seed * 1664525 + 1013904223;
            text[(seed >> 16) % len] = (char)(seed >> 24);
        }
        if ((seed >> 13) % 5 == 0)
            len = (seed >> 17) % len;
        assert_int_equal(lq_sentinel_begin(s, NULL), 0);
        size_t first = (seed >> 5) % (len + 1);
        int rc = lq_sentinel_received(s, text, first, NULL);
        if (!rc && !lq_sentinel_master(s))
            rc = lq_sentinel_received(s, text + first, len - first, NULL);
        const lq_url_host *m = lq_sentinel_master(s);
        if (m) {
            found++;
            assert_int_equal(rc, 0);
            assert_in_range(m->port, 1, 65535);
            assert_in_range(strlen(m->name), 1, 255);
        }
    }
    assert_true(found > 1000);
    lq_sentinel_free(s);
}

static void memory__short__fails_and_leaks_nothing(void **state)
{
    lq_url url;
    int64_t live = lq_alloc_live();
    (void)state;
    assert_int_equal(
        lq_url_parse(&url, "redis-sentinel://u:p@a,b?master=m", NULL), 0);
    for (uint64_t n = 1;; n++) {
        lq_sentinel *s = NULL;
        lq_alloc_fail_at(n, false);
        int rc = lq_sentinel_new(&s, &url, NULL);
        if (!rc)
            rc = lq_sentinel_begin(s, NULL);
        lq_alloc_fail_at(0, false);
        lq_sentinel_free(s);
        if (!rc)
            break;
        assert_int_equal(rc, LUNAQ_ENOMEM);
    }
    lq_url_release(&url);
    assert_int_equal(lq_alloc_live(), live);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer__comes_in_pieces__is_the_master),
        cmocka_unit_test(round__goes_in_order__and_begins_with_who_was_right),
        cmocka_unit_test(login__of_its_own__is_used),
        cmocka_unit_test(login__of_the_servers__is_offered),
        cmocka_unit_test(login__repeated_by_the_sentinel__is_not_told),
        cmocka_unit_test(answer__bad__is_refused),
        cmocka_unit_test(answer__endless__is_given_up),
        cmocka_unit_test(answer__mutated__is_an_address_or_an_error),
        cmocka_unit_test(memory__short__fails_and_leaks_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("sentinel", tests, NULL, NULL);
}
