/* Broker URLs. */
#include "support/test.h"

#include "base/alloc.h"
#include "broker/url.h"

#include <stdio.h>

struct good {
    const char *text;
    const char *host, *user, *password;
    int port, database;
    const char *shown;
};

static struct good good[] = {
    {"redis://h", "h", NULL, NULL, 6379, 0, "redis://h:6379/0"},
    {"redis://h:7000/4", "h", NULL, NULL, 7000, 4, "redis://h:7000/4"},
    {"redis://h/", "h", NULL, NULL, 6379, 0, "redis://h:6379/0"},
    {"h:7000", "h", NULL, NULL, 7000, 0, "redis://h:7000/0"},
    {"localhost", "localhost", NULL, NULL, 6379, 0, "redis://localhost:6379/0"},
    {"redis://", "127.0.0.1", NULL, NULL, 6379, 0, "redis://127.0.0.1:6379/0"},
    {":7000", "127.0.0.1", NULL, NULL, 7000, 0, "redis://127.0.0.1:7000/0"},
    {"redis://u:p@h", "h", "u", "p", 6379, 0, "redis://h:6379/0"},
    {"redis://:p@h", "h", NULL, "p", 6379, 0, "redis://h:6379/0"},
    {"redis://u@h", "h", "u", NULL, 6379, 0, "redis://h:6379/0"},
    {"redis://u:a%40b%3Ac%2F@h", "h", "u", "a@b:c/", 6379, 0,
     "redis://h:6379/0"},
    {"redis://u:a:b@c@h", "h", "u", "a:b@c", 6379, 0, "redis://h:6379/0"},
    {"redis://[::1]:7000/2", "::1", NULL, NULL, 7000, 2,
     "redis://[::1]:7000/2"},
    {"redis://[::1]", "::1", NULL, NULL, 6379, 0, "redis://[::1]:6379/0"},
    {"redis://h?db=3", "h", NULL, NULL, 6379, 3, "redis://h:6379/3"},
    {"redis://u:p?q@h/2?db=4", "h", "u", "p?q", 6379, 4, "redis://h:6379/4"},
    {"rediss://u:p@h", "h", "u", "p", 6379, 0, "rediss://h:6379/0"},
    {"rediss://[::1]:7/2?ca=/a", "::1", NULL, NULL, 7, 2, "rediss://[::1]:7/2"},
    {"redis-sentinel://u:p@a,b:7,[::1]:8/3?master=m%20x", NULL, "u", "p", 0, 3,
     "redis-sentinel://a:26379,b:7,[::1]:8/3?master=m x"},
    {"rediss-sentinel://a?master=m", NULL, NULL, NULL, 0, 0,
     "rediss-sentinel://a:26379/0?master=m"},
    {"redis-cluster://:p@a,b:7", NULL, NULL, "p", 0, 0,
     "redis-cluster://a:6379,b:7"},
    {"rediss-cluster://a", NULL, NULL, NULL, 0, 0, "rediss-cluster://a:6379"},
    {"redis-socket:///run/r.sock", "/run/r.sock", NULL, NULL, 0, 0,
     "redis-socket:///run/r.sock"},
    {"redis-socket:///run/r.sock?db=3", "/run/r.sock", NULL, NULL, 0, 3,
     "redis-socket:///run/r.sock?db=3"},
    {"redis-socket://u:p@/run/r.sock", "/run/r.sock", "u", "p", 0, 0,
     "redis-socket:///run/r.sock"},
    {"redis-socket:///run/a@b.sock", "/run/a@b.sock", NULL, NULL, 0, 0,
     "redis-socket:///run/a@b.sock"},
    {"redis-socket://r.sock", "r.sock", NULL, NULL, 0, 0,
     "redis-socket://r.sock"},
    {"redis://u:p?q@h:7000/4?prefix=shop", "h", "u", "p?q", 7000, 4,
     "redis://h:7000/4?prefix=shop"},
    {"h?prefix=a.B_c-9", "h", NULL, NULL, 6379, 0,
     "redis://h:6379/0?prefix=a.B_c-9"},
    {"redis-socket:///run/r.sock?prefix=shop", "/run/r.sock", NULL, NULL, 0, 0,
     "redis-socket:///run/r.sock?prefix=shop"},
    {"redis-socket:///run/r.sock?prefix=shop&db=3", "/run/r.sock", NULL, NULL,
     0, 3, "redis-socket:///run/r.sock?db=3&prefix=shop"},
    {"sqlite:.lunaq/queue.db", ".lunaq/queue.db", NULL, NULL, 0, 0,
     "sqlite:.lunaq/queue.db"},
    {"sqlite:/var/q.db", "/var/q.db", NULL, NULL, 0, 0, "sqlite:/var/q.db"},
    {"sqlite:///var/q.db", "/var/q.db", NULL, NULL, 0, 0, "sqlite:/var/q.db"},
    {"sqlite:a%20b@c:1/q%3f.db?durability=normal", "a b@c:1/q?.db", NULL, NULL,
     0, 0, "sqlite:a b@c:1/q?.db"},
};

static void assert_same(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_ptr_equal(a, b);
}

static void test_good(void **state)
{
    const struct good *row = *state;
    lq_url u;
    char shown[100];
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_url_parse(&u, row->text, &err))
        fail_msg("%s: %s", row->text, err.message);
    assert_same(u.host, row->host);
    assert_same(u.user, row->user);
    assert_same(u.password, row->password);
    assert_int_equal(u.port, row->port);
    assert_int_equal(u.database, row->database);
    lq_url_show(&u, shown, sizeof(shown));
    assert_string_equal(shown, row->shown);
    lq_url_release(&u);
}

struct bad {
    const char *text, *says;
};

static struct bad bad[] = {
    {"", "empty"},
    {"http://h", "unknown scheme 'http'"},
    {"redis://h/2?", "database"},
    {"redis://h?", "options"},
    {"redis://h?x=1", "unknown option 'x'"},
    {"redis://h?db=x", "db="},
    {"redis://h?db=-1", "db="},
    {"redis://h?ca=/x", "rediss"},
    {"redis://h?master=x", "redis-sentinel"},
    {"redis://a,b", "several addresses"},
    {"rediss://h?cert=/c", "key= is missing"},
    {"rediss://h?key=/c", "cert= is missing"},
    {"rediss://h?ca=%zz", "percent"},
    {"rediss://h?insecure=maybe", "true or false"},
    {"redis-sentinel://h", "master="},
    {"redis-sentinel://h?master=", "master="},
    {"redis-sentinel://?master=m", "names no address"},
    {"redis-sentinel://a,,b?master=m", "missing"},
    {"redis-sentinel://a,?master=m", "missing"},
    {"redis-sentinel://a:0?master=m", "port"},
    {"redis-cluster://a/1", "database 0"},
    {"redis-cluster://", "names no address"},
    {"redis://h:0", "port"},
    {"redis://h:65536", "port"},
    {"redis://h:", "port"},
    {"redis://[::1]:", "port"},
    {"redis://h:7000x", "port"},
    {"redis://h/x", "database"},
    {"redis://h/-1", "database"},
    {"redis://[::1", "']'"},
    {"redis://::1", "brackets"},
    {"redis://u:%zz@h", "percent"},
    {"redis://u:%00@h", "percent"},
    {"redis://u:%4@h", "percent"},
    {"redis://u:s3cret", "behind 'u'"}, /* the '@' was forgotten */
    {"redis://u:1/s3cret", "database"},
    {"redis://u:a?s=3cret@h", "%3F"},
    {"redis-socket://", "path"},
    {"redis-socket:///run/r.sock?x=1", "db="},
    {"redis-socket:///run/r.sock?db=x", "db="},
    {"redis://h?prefix=a b", "character 2"},
    {"redis://h?prefix={a}", "character 1"},
    {"redis://h?prefix=a:b", "character 2"},
    {"redis://h?prefix=lunaq", "lunaq's own"},
    {"redis://h?prefix=a23456789b123456789c123456789d123456789e123456789f12345"
     "6789g12345678",
     "1 to 64"},
    {"sqlite:", "needs a file"},
    {"sqlite://", "sqlite:"},
    {"sqlite://q.db", "sqlite:q.db"},
    {"sqlite:q.db?durability=none", "durability="},
    {"sqlite:q.db?x=1", "durability="},
    {"sqlite:q%zz.db", "percent"},
};

static void test_bad(void **state)
{
    const struct bad *row = *state;
    lq_url u;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_url_parse(&u, row->text, &err), LUNAQ_ECONFIG);
    if (!strstr(err.message, row->says))
        fail_msg("%s: %s", row->text, err.message);
    assert_null(strstr(err.message, "3cret"));
    assert_null(u.host);
}

static void with_prefix__any_url__says_it_once(void **state)
{
    static const struct {
        const char *url, *prefix, *becomes; /* NULL: refused */
    } rows[] = {
        {"redis://h", "shop", "redis://h?prefix=shop"},
        {"redis://u:a?b@h/1", "shop", "redis://u:a?b@h/1?prefix=shop"},
        {"redis-socket:///r.sock?db=1", "shop",
         "redis-socket:///r.sock?db=1&prefix=shop"},
        {"redis://h?prefix=shop", "shop", "redis://h?prefix=shop"},
        {"redis://h?prefix=shop", NULL, "redis://h?prefix=shop"},
        {"redis://h", "", "redis://h"},
        {"redis://h", "asynq", "redis://h"},
        {"sqlite:q.db", "asynq", "sqlite:q.db"},
        {"redis://h?prefix=shop", "mail", NULL},
        {"redis://h?prefix=shop", "asynq", NULL},
        {"redis://h", "sh op", NULL},
        {"sqlite:q.db", "shop", NULL},
    };
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        char *made = NULL;
        int rc = lq_url_with_prefix(&made, rows[i].url, rows[i].prefix, NULL);
        assert_int_equal(rc, rows[i].becomes ? LUNAQ_OK : LUNAQ_ECONFIG);
        assert_same(made, rows[i].becomes);
        lq_free(made);
    }
}

static void parse__null__is_refused(void **state)
{
    lq_url u;
    (void)state;
    assert_int_equal(lq_url_parse(&u, NULL, NULL), LUNAQ_ECONFIG);
}

static void parse__failure__does_not_repeat_the_password(void **state)
{
    static const char *const texts[] = {
        "redis://u:sesame@h:x",
        "redis://u:sesame@h/x",
        "redis-socket://u:sesame@/r?x",
        "redis://u:sesame%zz@h",
        "u:sesame@h:x",
        "redis://h?sesame",
        "redis://u:sesame?x@h?y=1",
        "redis-sentinel://h?sentinel_password=sesame",
        "redis-sentinel://h?master=m&sentinel_password=sesame%zz"};
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(texts); i++) {
        lq_url u;
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(lq_url_parse(&u, texts[i], &err), LUNAQ_ECONFIG);
        assert_null(strstr(err.message, "sesame"));
    }
}

static void parse__sqlite__says_how_durable(void **state)
{
    lq_url u;
    (void)state;
    assert_int_equal(lq_url_parse(&u, "sqlite:q?durability=normal", NULL), 0);
    assert_true(u.normal);
    lq_url_release(&u);
    assert_int_equal(lq_url_parse(&u, "sqlite:q?durability=full", NULL), 0);
    assert_false(u.normal);
    lq_url_release(&u);
}

static void parse__tls_options__are_decoded(void **state)
{
    lq_url u;
    (void)state;
    assert_int_equal(
        lq_url_parse(&u,
                     "rediss://h?ca=/a%20b&cert=c&key=k&server_name=n"
                     "&insecure=true",
                     NULL),
        0);
    assert_true(u.tls);
    assert_string_equal(u.ca, "/a b");
    assert_string_equal(u.cert, "c");
    assert_string_equal(u.key, "k");
    assert_string_equal(u.server_name, "n");
    assert_true(u.insecure);
    lq_url_release(&u);
    assert_int_equal(lq_url_parse(&u, "rediss://h?insecure=false", NULL), 0);
    assert_false(u.insecure);
    lq_url_release(&u);
}

static void
parse__sentinels__are_in_order_with_logins_of_their_own(void **state)
{
    lq_url u;
    (void)state;
    assert_int_equal(lq_url_parse(&u,
                                  "redis-sentinel://u:p@a,b:7?master=m&"
                                  "sentinel_user=su&sentinel_password=s%40p",
                                  NULL),
                     0);
    assert_int_equal(u.host_count, 2);
    assert_string_equal(u.hosts[0].name, "a");
    assert_int_equal(u.hosts[0].port, 26379);
    assert_string_equal(u.hosts[1].name, "b");
    assert_int_equal(u.hosts[1].port, 7);
    assert_string_equal(u.master, "m");
    assert_string_equal(u.sentinel_user, "su");
    assert_string_equal(u.sentinel_password, "s@p");
    lq_url_release(&u);
}

static void node__of_a_list__has_its_login_and_tls(void **state)
{
    lq_url u, node;
    char text[100];
    (void)state;
    assert_int_equal(lq_url_parse(&u, "rediss-cluster://u:p@a,b?ca=/c", NULL),
                     0);
    assert_int_equal(lq_url_node(&node, &u, "::2", 70, NULL), 0);
    lq_url_release(&u);
    lq_url_show(&node, text, sizeof(text));
    assert_string_equal(text, "rediss://[::2]:70/0");
    assert_string_equal(node.user, "u");
    assert_string_equal(node.password, "p");
    assert_string_equal(node.ca, "/c");
    lq_url_release(&node);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(with_prefix__any_url__says_it_once),
        cmocka_unit_test(parse__null__is_refused),
        cmocka_unit_test(parse__failure__does_not_repeat_the_password),
        cmocka_unit_test(parse__sqlite__says_how_durable),
        cmocka_unit_test(parse__tls_options__are_decoded),
        cmocka_unit_test(
            parse__sentinels__are_in_order_with_logins_of_their_own),
        cmocka_unit_test(node__of_a_list__has_its_login_and_tls),
    };
    static struct CMUnitTest
        tests[LQ_COUNT(good) + LQ_COUNT(bad) + LQ_COUNT(plain)];
    size_t n = 0;
    for (size_t i = 0; i < LQ_COUNT(good); i++)
        tests[n++] =
            (struct CMUnitTest){good[i].text, test_good, NULL, NULL, &good[i]};
    for (size_t i = 0; i < LQ_COUNT(bad); i++)
        tests[n++] =
            (struct CMUnitTest){bad[i].text, test_bad, NULL, NULL, &bad[i]};
    memcpy(tests + n, plain, sizeof(plain));
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
