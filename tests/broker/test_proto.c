/* The connection engine, without a server: what it sends, and what it makes of
 * what it is told. */
#include "support/test.h"

#include "redis/proto.h"

#include <stdio.h>
#include <stdlib.h>

#define GREETING "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n*1\r\n$4\r\nPING\r\n"
#define VERSION "$22\r\nredis_version:7.0.15\r\n\r\n+PONG\r\n"
#define INFO_MEMORY "$13\r\nmaxmemory:0\r\n\r\n"

static int setup(void **state)
{
    lq_proto *p;
    lq_url url = {.scheme = LQ_URL_REDIS_SOCKET};
    if (lq_proto_new(&p, &url, NULL))
        return -1;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    lq_proto *p = *state;
    const lunaq_error why = {LUNAQ_ECANCELED, "the test ends"};
    lq_proto_lost(p, &why);
    while (lq_proto_finished(p))
        ;
    lq_proto_free(p);
    return 0;
}

static int hear_bytes(lq_proto *p, lq_str bytes, lunaq_error *err)
{
    for (size_t at = 0; at < bytes.len;) {
        size_t size;
        char *space = lq_proto_space(p, &size);
        assert_non_null(space);
        size_t n = bytes.len - at < size ? bytes.len - at : size;
        memcpy(space, bytes.p + at, n);
        int rc = lq_proto_received(p, n, err);
        if (rc)
            return rc;
        at += n;
    }
    return LUNAQ_OK;
}

static int hear(lq_proto *p, const char *bytes)
{
    return hear_bytes(p, lq_str_c(bytes), NULL);
}

/* Takes all the output, as a string. */
static const char *said(lq_proto *p)
{
    static char text[8192];
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

static void get_ready(lq_proto *p)
{
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    (void)said(p);
    assert_int_equal(hear(p, VERSION), LUNAQ_OK);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
}

static void submit(lq_proto *p, lq_op *op, enum lq_op_kind kind)
{
    lq_op_init(op, kind);
    lq_proto_submit(p, op);
}

/* ---- greeting ------------------------------------------------------------ */

static void greeting__plain__asks_and_is_ready(void **state)
{
    lq_proto *p = *state;
    assert_int_equal(lq_proto_state(p), LQ_PROTO_DOWN);
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_GREETING);
    assert_string_equal(said(p), GREETING);
    assert_int_equal(hear(p, "$22\r\nredis_version:7.0.15\r\n\r\n"), 0);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_GREETING);
    assert_int_equal(hear(p, "+PONG\r\n"), LUNAQ_OK);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
}

static void greeting__login_and_database__come_first(void **state)
{
    char user[] = "ann", password[] = "secret";
    lq_url url = {.user = user, .password = password, .database = 3};
    lq_proto *p;
    (void)state;
    assert_int_equal(lq_proto_new(&p, &url, NULL), LUNAQ_OK);
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    assert_string_equal(said(p),
                        "*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$6\r\nsecret"
                        "\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n" GREETING);
    assert_int_equal(hear(p, "+OK\r\n+OK\r\n" VERSION), LUNAQ_OK);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
    const lunaq_error why = {LUNAQ_ECANCELED, ""};
    lq_proto_lost(p, &why);
    lq_proto_free(p);
}

/* By a server whose AUTH was renamed away. */
static void login__repeated_by_the_server__is_not_told(void **state)
{
    char password[] = "sesame";
    lq_url url = {.password = password};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_proto *p;
    (void)state;
    assert_int_equal(lq_proto_new(&p, &url, NULL), LUNAQ_OK);
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    assert_int_equal(hear_bytes(p,
                                LQ_STR("-ERR unknown command 'AUTH', with args "
                                       "beginning with: 'sesame' \r\n"),
                                &err),
                     LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "unknown command 'AUTH':"));
    assert_null(strstr(err.message, "sesame"));
    lq_proto_lost(p, &err);
    lq_proto_free(p);
}

static void count_heard(lq_op_listen *op, lq_str id)
{
    assert_true(lq_str_eq(id, LQ_STR("task-1")));
    ++*(int *)op->op.ud;
}

static void listen__nudged__hears_on_whatever_the_answer(void **state)
{
    lq_proto *p = *state;
    int heard = 0;
    lq_op_listen listen = {.cancel = count_heard};
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    (void)said(p);
    assert_int_equal(hear(p, VERSION), LUNAQ_OK);
    lq_op_init(&listen.op, LQ_OP_LISTEN);
    listen.op.ud = &heard;
    lq_proto_submit(p, &listen.op);
    assert_non_null(strstr(said(p), "SUBSCRIBE"));
    assert_int_equal(
        hear(p, "*3\r\n$9\r\nsubscribe\r\n$12\r\nasynq:cancel\r\n:1\r\n"),
        LUNAQ_OK);
    lq_proto_nudge(p);
    assert_string_equal(said(p), "*1\r\n$4\r\nPING\r\n");
    assert_int_equal(hear(p, "*2\r\n$4\r\npong\r\n$0\r\n\r\n"), LUNAQ_OK);
    lq_proto_nudge(p);
    assert_int_equal(hear(p, "-NOPERM this user may not\r\n"), LUNAQ_OK);
    assert_int_equal(hear(p, "*3\r\n$7\r\nmessage\r\n$12\r\nasynq:cancel\r\n"
                             "$6\r\ntask-1\r\n"),
                     LUNAQ_OK);
    assert_int_equal(heard, 1);
    const lunaq_error why = {LUNAQ_EBROKER, "lost"};
    lq_proto_lost(p, &why);
    assert_ptr_equal(lq_proto_finished(p), &listen.op);
    lq_op_release(&listen.op);
}

static void listen__refused__ends(void **state)
{
    lq_proto *p = *state;
    lq_op_listen listen = {.cancel = count_heard};
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    (void)said(p);
    assert_int_equal(hear(p, VERSION), LUNAQ_OK);
    lq_op_init(&listen.op, LQ_OP_LISTEN);
    lq_proto_submit(p, &listen.op);
    (void)said(p);
    assert_int_equal(hear(p, "-NOPERM no channel\r\n"), LUNAQ_OK);
    assert_ptr_equal(lq_proto_finished(p), &listen.op);
    assert_int_equal(listen.op.rc, LUNAQ_EREPLY);
    lq_op_release(&listen.op);
}

static void listen__refused_again__ends_again(void **state)
{
    lq_proto *p = *state;
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    (void)said(p);
    assert_int_equal(hear(p, VERSION), LUNAQ_OK);
    for (int i = 0; i < 2; i++) {
        lq_op_listen listen = {.cancel = count_heard};
        lq_op_init(&listen.op, LQ_OP_LISTEN);
        lq_proto_submit(p, &listen.op);
        (void)said(p);
        lq_proto_nudge(p); /* it is not confirmed */
        assert_string_equal(said(p), "");
        assert_int_equal(hear(p, "-NOPERM no channel\r\n"), LUNAQ_OK);
        assert_ptr_equal(lq_proto_finished(p), &listen.op);
        assert_int_equal(listen.op.rc, LUNAQ_EREPLY);
        lq_op_release(&listen.op);
    }
}

struct refusal {
    const char *name, *heard;
    int code;
    const char *says;
};

static const struct refusal refusals[] = {
    {"greeting__no_login__is_a_configuration_error",
     "-NOAUTH Authentication required.\r\n", LUNAQ_ECONFIG,
     "login refused: NOAUTH Authentication required: check"},
    {"greeting__too_old__is_a_configuration_error",
     "$22\r\nredis_version:6.0.16\r\n\r\n", LUNAQ_ECONFIG, "6.2"},
    {"greeting__loading__is_tried_again",
     "$22\r\nredis_version:7.0.15\r\n\r\n-LOADING Redis is loading\r\n",
     LUNAQ_EBROKER, "LOADING"},
    {"greeting__not_redis__is_a_protocol_error", "HTTP/1.1 400\r\n",
     LUNAQ_EPROTO, "Redis server"},
    {"greeting__more_than_asked__is_a_protocol_error", VERSION "+OK\r\n",
     LUNAQ_EPROTO, "nothing asked"},
};

static void test_refusal(void **state)
{
    const struct refusal *row = *state;
    lq_proto *p;
    lq_url url = {.scheme = LQ_URL_REDIS};
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_proto_new(&p, &url, NULL), LUNAQ_OK);
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    (void)said(p);
    assert_int_equal(hear_bytes(p, lq_str_c(row->heard), &err), row->code);
    assert_non_null(strstr(err.message, row->says));
    lq_proto_lost(p, &err);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_DOWN);
    lq_proto_free(p);
}

/* ---- operations ---------------------------------------------------------- */

static void submit__not_connected__fails_at_once(void **state)
{
    lq_proto *p = *state;
    lq_op_ping ping = {0};
    submit(p, &ping.op, LQ_OP_PING);
    assert_ptr_equal(lq_proto_finished(p), &ping.op);
    assert_int_equal(ping.op.rc, LUNAQ_EBROKER);
    assert_null(lq_proto_finished(p));
    assert_int_equal(lq_proto_output(p).len, 0);
}

static void submit__unknown_kind__is_not_supported(void **state)
{
    lq_proto *p = *state;
    lq_op op = {.kind = LQ_OP_KINDS};
    get_ready(p);
    lq_proto_submit(p, &op);
    assert_ptr_equal(lq_proto_finished(p), &op);
    assert_int_equal(op.rc, LUNAQ_EINVAL);
}

static void submit__refused_by_its_row__sends_nothing(void **state)
{
    lq_proto *p = *state;
    lq_op_step step = {.free = LQ_BATCH_MAX + 1};
    lq_step_queue queue = {.name = LQ_STR("q")};
    step.queues = &queue;
    step.queue_count = 1;
    get_ready(p);
    submit(p, &step.op, LQ_OP_STEP);
    assert_ptr_equal(lq_proto_finished(p), &step.op);
    assert_int_equal(step.op.rc, LUNAQ_EINVAL);
    assert_int_equal(lq_proto_output(p).len, 0);
}

static void submit__nothing_to_do__is_done(void **state)
{
    lq_proto *p = *state;
    lq_op_enqueue op = {.count = 0};
    get_ready(p);
    submit(p, &op.op, LQ_OP_ENQUEUE);
    assert_ptr_equal(lq_proto_finished(p), &op.op);
    assert_int_equal(op.op.rc, LUNAQ_OK);
}

static void replies__of_several_operations__end_them_in_order(void **state)
{
    lq_proto *p = *state;
    lq_op_ping a = {0};
    lq_op_wait b = {.queue = LQ_STR("q"), .timeout_ms = 1500};
    get_ready(p);
    submit(p, &a.op, LQ_OP_PING);
    submit(p, &b.op, LQ_OP_WAIT);
    assert_int_equal(lq_proto_under_way(p), 2);
    assert_non_null(strstr(said(p), "BLMOVE\r\n$17\r\nasynq:{q}:pending\r\n"
                                    "$17\r\nasynq:{q}:pending\r\n$5\r\nRIGHT"
                                    "\r\n$5\r\nRIGHT\r\n$5\r\n1.500\r\n"));
    assert_int_equal(hear(p, "$22\r\nredis_version:7.0.15\r\n\r\n"), 0);
    assert_null(lq_proto_finished(p));
    assert_int_equal(hear(p, INFO_MEMORY "$1\r\nx\r\n"), LUNAQ_OK);
    assert_ptr_equal(lq_proto_finished(p), &a.op);
    assert_ptr_equal(lq_proto_finished(p), &b.op);
    assert_int_equal(a.op.rc, LUNAQ_OK);
    assert_string_equal(a.version, "7.0.15");
    assert_true(b.woke);
    assert_int_equal(lq_proto_under_way(p), 0);
    lq_op_release(&a.op);
}

static void replies__byte_by_byte__are_the_same(void **state)
{
    static const char bytes[] =
        "$22\r\nredis_version:7.0.15\r\n\r\n" INFO_MEMORY;
    lq_proto *p = *state;
    lq_op_ping a = {0};
    get_ready(p);
    submit(p, &a.op, LQ_OP_PING);
    (void)said(p);
    for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
        assert_null(lq_proto_finished(p));
        assert_int_equal(hear_bytes(p, lq_str_n(bytes + i, 1), NULL), 0);
    }
    assert_ptr_equal(lq_proto_finished(p), &a.op);
    assert_string_equal(a.version, "7.0.15");
}

struct error_reply {
    const char *name, *heard;
    int code;
};

static const struct error_reply error_replies[] = {
    {"error__out_of_memory__is_full",
     "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
     LUNAQ_EFULL},
    {"error__out_of_memory_in_a_script_of_6_2__is_full",
     "-ERR Error running script (call to f_1): @user_script:1: -OOM command "
     "not allowed\r\n",
     LUNAQ_EFULL},
    {"error__disk_full__is_full", "-MISCONF Redis is configured to\r\n",
     LUNAQ_EFULL},
    {"error__replica__is_tried_elsewhere", "-READONLY You can't write\r\n",
     LUNAQ_EBROKER},
    {"error__any_other__has_its_text", "-WRONGTYPE Operation against\r\n",
     LUNAQ_EREPLY},
};

static void test_error_reply(void **state)
{
    const struct error_reply *row = *state;
    void *made = NULL;
    assert_int_equal(setup(&made), 0);
    lq_proto *p = made;
    lq_op_wait op = {.queue = LQ_STR("q"), .timeout_ms = 1};
    get_ready(p);
    submit(p, &op.op, LQ_OP_WAIT);
    (void)said(p);
    /* Only a replica is left: it will be none again tomorrow. */
    bool left = strncmp(row->heard, "-READONLY", 9) == 0;
    assert_int_equal(hear(p, row->heard), left ? LUNAQ_EBROKER : LUNAQ_OK);
    assert_ptr_equal(lq_proto_finished(p), &op.op);
    assert_int_equal(op.op.rc, row->code);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
    teardown(&made);
}

static void noscript__is_sent_again_in_full(void **state)
{
    lq_proto *p = *state;
    lq_op_clean clean = {.queue = LQ_STR("q")};
    lq_op_wait after = {.queue = LQ_STR("q"), .timeout_ms = 1};
    get_ready(p);
    submit(p, &clean.op, LQ_OP_CLEAN);
    submit(p, &after.op, LQ_OP_WAIT);
    const char *out = said(p);
    assert_non_null(strstr(out, "EVALSHA"));
    assert_int_equal(hear(p, "-NOSCRIPT No matching script.\r\n*-1\r\n"), 0);
    out = said(p);
    assert_non_null(strstr(out, "$4\r\nEVAL\r\n"));
    assert_non_null(strstr(out, "#!lua flags=allow-oom\n"));
    assert_non_null(strstr(out, "asynq:{q}:completed"));
    /* The later one does not wait for it. */
    assert_ptr_equal(lq_proto_finished(p), &after.op);
    assert_int_equal(hear(p, "*3\r\n:7\r\n:0\r\n:0\r\n"), LUNAQ_OK);
    assert_ptr_equal(lq_proto_finished(p), &clean.op);
    assert_int_equal(clean.op.rc, LUNAQ_OK);
    assert_int_equal(clean.deleted, 7);
}

static void noscript__twice__is_an_error(void **state)
{
    lq_proto *p = *state;
    lq_op_clean clean = {.queue = LQ_STR("q")};
    get_ready(p);
    submit(p, &clean.op, LQ_OP_CLEAN);
    (void)said(p);
    assert_int_equal(hear(p, "-NOSCRIPT x\r\n-NOSCRIPT x\r\n"), LUNAQ_OK);
    assert_ptr_equal(lq_proto_finished(p), &clean.op);
    assert_int_equal(clean.op.rc, LUNAQ_EREPLY);
}

static void old_server__gets_scripts_without_the_first_line(void **state)
{
    lq_proto *p = *state;
    lq_op_clean clean = {.queue = LQ_STR("q")};
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    (void)said(p);
    assert_int_equal(hear(p, "$22\r\nredis_version:6.2.14\r\n\r\n+PONG\r\n"),
                     0);
    submit(p, &clean.op, LQ_OP_CLEAN);
    (void)said(p);
    assert_int_equal(hear(p, "-NOSCRIPT x\r\n"), LUNAQ_OK);
    assert_null(strstr(said(p), "#!lua"));
    assert_int_equal(hear(p, "*3\r\n:0\r\n:0\r\n:0\r\n"), LUNAQ_OK);
    assert_ptr_equal(lq_proto_finished(p), &clean.op);
}

static void odd_reply__ends_its_operation_alone(void **state)
{
    lq_proto *p = *state;
    lq_op_step step = {.free = 1, .token = 1};
    lq_step_queue queue = {.name = LQ_STR("q"), .want = 1};
    static const char *const odd[] = {
        ":1\r\n",
        "*-1\r\n",
        "*4\r\n$0\r\n\r\n$2\r\n00\r\n*0\r\n*0\r\n",
        "*4\r\n$0\r\n\r\n$1\r\n0\r\n*0\r\n*1\r\n:1\r\n",
        "*4\r\n$0\r\n\r\n$1\r\n0\r\n*0\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n:9\r\n",
        "*4\r\n$0\r\n\r\n$1\r\n0\r\n*2\r\n:5\r\n$1\r\nx\r\n*0\r\n",
    };
    step.queues = &queue;
    step.queue_count = 1;
    get_ready(p);
    for (size_t i = 0; i < LQ_COUNT(odd); i++) {
        submit(p, &step.op, LQ_OP_STEP);
        (void)said(p);
        assert_int_equal(hear(p, odd[i]), LUNAQ_OK);
        assert_ptr_equal(lq_proto_finished(p), &step.op);
        assert_int_equal(step.op.rc, LUNAQ_EPROTO);
        assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
    }
    lq_op_release(&step.op);
}

/* ---- losses -------------------------------------------------------------- */

static void lost__sent_is_unknown_and_unsent_is_not(void **state)
{
    lq_proto *p = *state;
    lq_op_ping sent = {0}, half = {0}, unsent = {0};
    const lunaq_error why = {LUNAQ_EBROKER, "reset by peer"};
    get_ready(p);
    submit(p, &sent.op, LQ_OP_PING);
    size_t one = lq_proto_output(p).len;
    lq_proto_sent(p, one);
    submit(p, &half.op, LQ_OP_PING);
    submit(p, &unsent.op, LQ_OP_PING);
    assert_int_equal(lq_proto_output(p).len, 2 * one);
    lq_proto_sent(p, 1);
    lq_proto_lost(p, &why);
    assert_ptr_equal(lq_proto_finished(p), &sent.op);
    assert_ptr_equal(lq_proto_finished(p), &half.op);
    assert_ptr_equal(lq_proto_finished(p), &unsent.op);
    assert_null(lq_proto_finished(p));
    assert_int_equal(sent.op.rc, LUNAQ_EUNKNOWN);
    assert_int_equal(half.op.rc, LUNAQ_EUNKNOWN);
    assert_int_equal(unsent.op.rc, LUNAQ_EBROKER);
    assert_string_equal(sent.op.err.message, "reset by peer");
    /* Nothing of the old connection is left in the next. */
    assert_int_equal(lq_proto_begin(p, NULL), LUNAQ_OK);
    assert_string_equal(said(p), GREETING);
    assert_int_equal(hear(p, VERSION), LUNAQ_OK);
    assert_int_equal(lq_proto_state(p), LQ_PROTO_READY);
}

static void lost__in_the_middle_of_a_reply__starts_clean(void **state)
{
    lq_proto *p = *state;
    lq_op_ping op = {0};
    const lunaq_error why = {LUNAQ_EBROKER, "reset by peer"};
    get_ready(p);
    submit(p, &op.op, LQ_OP_PING);
    (void)said(p);
    assert_int_equal(hear(p, "$22\r\nredis_version:7.0.15\r\n\r\n*3\r\n:1\r\n"),
                     LUNAQ_OK);
    lq_proto_lost(p, &why);
    assert_ptr_equal(lq_proto_finished(p), &op.op);
    assert_int_equal(op.op.rc, LUNAQ_EUNKNOWN);
    get_ready(p);
}

static void lost__canceled__cancels_all(void **state)
{
    lq_proto *p = *state;
    lq_op_ping sent = {0}, unsent = {0};
    const lunaq_error why = {LUNAQ_ECANCELED, "closed"};
    get_ready(p);
    submit(p, &sent.op, LQ_OP_PING);
    (void)said(p);
    submit(p, &unsent.op, LQ_OP_PING);
    lq_proto_lost(p, &why);
    while (lq_proto_finished(p))
        ;
    assert_int_equal(sent.op.rc, LUNAQ_ECANCELED);
    assert_int_equal(unsent.op.rc, LUNAQ_ECANCELED);
}

static void output__stays_where_it_is_while_more_is_submitted(void **state)
{
    lq_proto *p = *state;
    lq_op_ping ops[200] = {0};
    const lunaq_error why = {LUNAQ_ECANCELED, "closed"};
    get_ready(p);
    submit(p, &ops[0].op, LQ_OP_PING);
    lq_str before = lq_proto_output(p);
    for (size_t i = 1; i < LQ_COUNT(ops); i++)
        submit(p, &ops[i].op, LQ_OP_PING);
    lq_str after = lq_proto_output(p);
    assert_ptr_equal(before.p, after.p);
    assert_int_equal(before.len, after.len);
    lq_proto_sent(p, before.len);
    assert_int_equal(lq_proto_output(p).len, 199 * before.len);
    lq_proto_lost(p, &why);
    for (size_t i = 0; i < LQ_COUNT(ops); i++)
        assert_ptr_equal(lq_proto_finished(p), &ops[i].op);
}

static void memory__runs_out_anywhere__ends_the_operation_alone(void **state)
{
    lq_proto *p = *state;
    lq_expired *items = NULL;
    int rc = LUNAQ_ENOMEM;
    get_ready(p);
    for (uint64_t n = 1; rc == LUNAQ_ENOMEM; n++) {
        lq_op_expired op = {.queue = LQ_STR("q"), .limit = 1};
        lq_alloc_fail_at(n, false);
        submit(p, &op.op, LQ_OP_EXPIRED);
        if (lq_proto_under_way(p)) {
            (void)said(p);
            rc = hear(p, "*7\r\n:5\r\n$1\r\na\r\n$3\r\n1.5\r\n:7\r\n$1\r\nm\r\n"
                         ":2\r\n$3\r\nwhy\r\n");
            /* The engine itself may be what had no memory. */
            if (rc) {
                const lunaq_error why = {LUNAQ_ENOMEM, "out of memory"};
                assert_int_equal(rc, LUNAQ_ENOMEM);
                lq_alloc_fail_at(0, false);
                lq_proto_lost(p, &why);
                assert_ptr_equal(lq_proto_finished(p), &op.op);
                get_ready(p);
                continue;
            }
        }
        lq_alloc_fail_at(0, false);
        assert_ptr_equal(lq_proto_finished(p), &op.op);
        rc = op.op.rc;
        assert_true(rc == LUNAQ_OK || rc == LUNAQ_ENOMEM);
        items = op.items;
        if (rc == LUNAQ_OK) {
            assert_non_null(items);
            assert_string_equal(items[0].score, "1.5");
            assert_int_equal(items[0].token, 7);
            assert_int_equal(items[0].crashes, 2);
        }
        lq_op_release(&op.op);
    }
    assert_int_equal(rc, LUNAQ_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest plain[] = {
        TEST(greeting__plain__asks_and_is_ready),
        TEST(greeting__login_and_database__come_first),
        TEST(login__repeated_by_the_server__is_not_told),
        TEST(listen__refused_again__ends_again),
        TEST(listen__nudged__hears_on_whatever_the_answer),
        TEST(listen__refused__ends),
        TEST(submit__not_connected__fails_at_once),
        TEST(submit__unknown_kind__is_not_supported),
        TEST(submit__refused_by_its_row__sends_nothing),
        TEST(submit__nothing_to_do__is_done),
        TEST(replies__of_several_operations__end_them_in_order),
        TEST(replies__byte_by_byte__are_the_same),
        TEST(noscript__is_sent_again_in_full),
        TEST(noscript__twice__is_an_error),
        TEST(old_server__gets_scripts_without_the_first_line),
        TEST(odd_reply__ends_its_operation_alone),
        TEST(lost__sent_is_unknown_and_unsent_is_not),
        TEST(lost__in_the_middle_of_a_reply__starts_clean),
        TEST(lost__canceled__cancels_all),
        TEST(output__stays_where_it_is_while_more_is_submitted),
        TEST(memory__runs_out_anywhere__ends_the_operation_alone),
    };
    static struct CMUnitTest
        tests[LQ_COUNT(plain) + LQ_COUNT(refusals) + LQ_COUNT(error_replies)];
    static struct refusal rows[LQ_COUNT(refusals)];
    static struct error_reply errors[LQ_COUNT(error_replies)];
    size_t n = LQ_COUNT(plain);
    memcpy(tests, plain, sizeof(plain));
    memcpy(rows, refusals, sizeof(rows));
    memcpy(errors, error_replies, sizeof(errors));
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[n++] = (struct CMUnitTest){rows[i].name, test_refusal, NULL, NULL,
                                         &rows[i]};
    for (size_t i = 0; i < LQ_COUNT(errors); i++)
        tests[n++] = (struct CMUnitTest){errors[i].name, test_error_reply, NULL,
                                         NULL, &errors[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
