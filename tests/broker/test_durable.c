/* durable = replica | fsync on Redis, without a server: what is sent, and what
 * is made of each answer. */
#include "support/test.h"

#include "redis/proto.h"

#include <stdio.h>

struct row {
    const char *name;
    const char *version;
    lunaq_durable asked;
    bool known;        /* the queue was announced */
    const char *wait;  /* the command behind the script */
    const char *heard; /* for script and wait */
    int rc, code, reached;
    const char *says;
};

static struct row rows[] = {
    {"none__sends_nothing_more", "7.0.15", LUNAQ_DURABLE_NONE, true, NULL,
     "$1\r\nP\r\n", 0, 0, LUNAQ_DURABLE_NONE, ""},
    {"replica__one_has_it", "7.0.15", LUNAQ_DURABLE_REPLICA, true,
     "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$3\r\n700\r\n", "$1\r\nP\r\n:1\r\n", 0, 0,
     LUNAQ_DURABLE_REPLICA, ""},
    {"replica__queue_announced_first", "7.0.15", LUNAQ_DURABLE_REPLICA, false,
     "WAIT", ":1\r\n$1\r\nP\r\n:2\r\n", 0, 0, LUNAQ_DURABLE_REPLICA, ""},
    {"replica__none_has_it", "7.0.15", LUNAQ_DURABLE_REPLICA, true, "WAIT",
     "$1\r\nP\r\n:0\r\n", 0, LUNAQ_EUNKNOWN, LUNAQ_DURABLE_NONE,
     "no replica had it within 700 ms"},
    {"replica__may_not_ask", "7.0.15", LUNAQ_DURABLE_REPLICA, true, "WAIT",
     "$1\r\nP\r\n-NOPERM this user\r\n", 0, LUNAQ_EUNKNOWN, LUNAQ_DURABLE_NONE,
     "NOPERM this user"},
    {"replica__was_there_and_is_sure_now", "7.0.15", LUNAQ_DURABLE_REPLICA,
     true, "WAIT", "$1\r\nE\r\n:1\r\n", 0, LUNAQ_EEXIST, LUNAQ_DURABLE_REPLICA,
     ""},
    {"replica__was_there_and_is_not_sure", "7.0.15", LUNAQ_DURABLE_REPLICA,
     true, "WAIT", "$1\r\nE\r\n:0\r\n", 0, LUNAQ_EUNKNOWN, LUNAQ_DURABLE_NONE,
     "no replica"},
    {"replica__wrong_type_stays_one", "7.0.15", LUNAQ_DURABLE_REPLICA, true,
     "WAIT", "$1\r\nW\r\n:0\r\n", 0, LUNAQ_EREPLY, LUNAQ_DURABLE_DEFAULT, ""},
    {"replica__script_fails", "7.0.15", LUNAQ_DURABLE_REPLICA, true, "WAIT",
     "-OOM no\r\n:1\r\n", LUNAQ_EFULL, LUNAQ_EFULL, LUNAQ_DURABLE_DEFAULT,
     "OOM"},
    {"fsync__on_the_disk", "7.2.0", LUNAQ_DURABLE_FSYNC, true,
     "*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n0\r\n$3\r\n700\r\n",
     "$1\r\nP\r\n*2\r\n:1\r\n:0\r\n", 0, 0, LUNAQ_DURABLE_FSYNC, ""},
    {"fsync__not_in_time", "7.2.0", LUNAQ_DURABLE_FSYNC, true, "WAITAOF",
     "$1\r\nP\r\n*2\r\n:0\r\n:3\r\n", 0, LUNAQ_EUNKNOWN, LUNAQ_DURABLE_NONE,
     "did not reach the disk"},
    {"fsync__odd_answer", "7.2.0", LUNAQ_DURABLE_FSYNC, true, "WAITAOF",
     "$1\r\nP\r\n+OK\r\n", 0, LUNAQ_EUNKNOWN, LUNAQ_DURABLE_NONE, "disk"},
    {"fsync__no_aof", "7.2.0", LUNAQ_DURABLE_FSYNC, true, "WAITAOF",
     "$1\r\nP\r\n-ERR WAITAOF cannot be used when numlocal is set but "
     "appendonly is disabled.\r\n",
     0, LUNAQ_EUNKNOWN, LUNAQ_DURABLE_NONE, "appendonly is disabled"},
    {"fsync__old_server", "7.0.15", LUNAQ_DURABLE_FSYNC, true, NULL, "",
     LUNAQ_ECONFIG, LUNAQ_ECONFIG, LUNAQ_DURABLE_DEFAULT, "7.2 or newer"},
};

static void hear(lq_proto *p, const char *bytes)
{
    lq_str heard = lq_str_c(bytes);
    size_t size;
    char *space = lq_proto_space(p, &size);
    assert_true(heard.len <= size);
    memcpy(space, heard.p, heard.len);
    assert_int_equal(lq_proto_received(p, heard.len, NULL), LUNAQ_OK);
}

static const char *said(lq_proto *p)
{
    static char text[65536];
    size_t len = 0;
    for (lq_str out; (out = lq_proto_output(p)).len;) {
        assert_true(len + out.len < sizeof(text));
        memcpy(text + len, out.p, out.len);
        len += out.len;
        lq_proto_sent(p, out.len);
    }
    text[len] = 0;
    return text;
}

/* An engine that is ready, on a server of this version. */
static lq_proto *begin(const char *version)
{
    const lq_url url = {.scheme = LQ_URL_REDIS};
    lq_proto *p = NULL;
    char greeting[100];
    assert_int_equal(lq_proto_new(&p, &url, NULL), 0);
    assert_int_equal(lq_proto_begin(p, NULL), 0);
    (void)said(p);
    snprintf(greeting, sizeof(greeting),
             "$%zu\r\nredis_version:%s\r\n\r\n+PONG\r\n", strlen(version) + 16,
             version);
    hear(p, greeting);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
    return p;
}

static void end(lq_proto *p)
{
    const lunaq_error why = {LUNAQ_ECANCELED, "the test ends"};
    lq_proto_lost(p, &why);
    lq_proto_free(p);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    lq_proto *p = begin(row->version);
    lunaq_task task = LUNAQ_TASK_INIT;
    lq_enqueue e, *items[] = {&e};

    task.type = "t";
    task.durable = row->asked;
    assert_int_equal(lq_enqueue_init(&e, &task, 0, NULL), 0);
    lq_op_enqueue op = {.items = items,
                        .count = 1,
                        .known_queues = row->known,
                        .durable_ms = 700};
    lq_op_init(&op.op, LQ_OP_ENQUEUE);
    lq_proto_submit(p, &op.op);
    const char *out = said(p);
    if (row->wait) {
        size_t len = strlen(out), tail = strlen(row->wait);
        assert_non_null(strstr(out, row->wait));
        if (row->wait[0] == '*') /* it is the last, all of it */
            assert_string_equal(out + len - tail, row->wait);
        /* Sent in full: a NOSCRIPT would let the task come after the WAIT. */
        assert_null(strstr(out, "EVALSHA"));
    } else {
        assert_null(strstr(out, "WAIT"));
    }
    hear(p, row->heard);
    assert_ptr_equal(lq_proto_finished(p), &op.op);
    assert_int_equal(op.op.rc, row->rc);
    assert_int_equal(e.code, row->code);
    assert_int_equal(e.reached, row->reached);
    if (!strstr(op.op.err.message, row->says))
        fail_msg("%s", op.op.err.message);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    end(p);
}

/* Each item has its own level; commands are sent once. */
static void batch__of_levels__each_has_its_own(void **state)
{
    static const lunaq_durable asked[] = {
        LUNAQ_DURABLE_NONE, LUNAQ_DURABLE_FSYNC, LUNAQ_DURABLE_REPLICA,
        LUNAQ_DURABLE_FSYNC};
    lq_proto *p = begin("7.4.1");
    lq_enqueue e[4], *items[4];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        lunaq_task task = LUNAQ_TASK_INIT;
        task.type = "t";
        task.queue = i == 3 ? "other" : "q";
        task.durable = asked[i];
        assert_int_equal(lq_enqueue_init(&e[i], &task, 0, NULL), 0);
        items[i] = &e[i];
    }
    lq_op_enqueue op = {.items = items, .count = 4, .known_queues = true};
    lq_op_init(&op.op, LQ_OP_ENQUEUE);
    lq_proto_submit(p, &op.op);
    const char *out = said(p), *wait = strstr(out, "$4\r\nWAIT\r\n"),
               *aof = strstr(out, "WAITAOF");
    assert_non_null(wait);
    assert_true(aof > wait);
    assert_null(strstr(aof + 1, "WAIT"));
    hear(p, "$3\r\nPPP\r\n$1\r\nP\r\n:0\r\n*2\r\n:1\r\n:0\r\n");
    assert_ptr_equal(lq_proto_finished(p), &op.op);
    assert_int_equal(op.op.rc, 0);
    assert_int_equal(e[0].code, 0);
    assert_int_equal(e[0].reached, LUNAQ_DURABLE_NONE);
    assert_int_equal(e[1].code, 0);
    assert_int_equal(e[1].reached, LUNAQ_DURABLE_FSYNC);
    assert_int_equal(e[2].code, LUNAQ_EUNKNOWN);
    assert_int_equal(e[3].reached, LUNAQ_DURABLE_FSYNC);
    for (size_t i = 0; i < 4; i++)
        lq_enqueue_release(&e[i]);
    lq_op_release(&op.op);
    end(p);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[LQ_COUNT(rows) + 1];
    size_t n = 0;
    for (; n < LQ_COUNT(rows); n++)
        tests[n] =
            (struct CMUnitTest){rows[n].name, test_row, NULL, NULL, &rows[n]};
    tests[n] =
        (struct CMUnitTest)cmocka_unit_test(batch__of_levels__each_has_its_own);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("durable", tests, NULL, NULL);
}
