/* The cluster core without servers: slots, the map, what nodes say, and what
 * becomes of operations whatever they say. */
#include "support/test.h"

#include "base/clock.h"
#include "redis/cluster.h"
#include "redis/ops.h"
#include "support/cluster_model.h"

#include <stdio.h>
#include <string.h>

/* ---- slots --------------------------------------------------------------- */

static void slot__known_keys__are_redis_own(void **state)
{
    (void)state;
    /* As CLUSTER KEYSLOT says. */
    assert_int_equal(lq_cluster_slot(LQ_STR("123456789")), 12739);
    assert_int_equal(lq_cluster_slot(LQ_STR("foo")), 12182);
    assert_int_equal(lq_cluster_slot(LQ_STR("")), 0);
    assert_int_equal(lq_cluster_slot(LQ_STR("foo{}{bar}")), 8363);
    assert_int_equal(lq_cluster_slot(LQ_STR("foo{{bar}}zap")), 4015);
    assert_int_equal(lq_cluster_slot(LQ_STR("foo{bar}{zap}")), 5061);
    assert_int_equal(lq_cluster_slot(LQ_STR("{bar")),
                     lq_cluster_slot(LQ_STR("{bar")));
    assert_int_equal(lq_cluster_slot(LQ_STR("asynq:{q}:pending")),
                     lq_cluster_slot(LQ_STR("lunaq:{q}:cron")));
}

/* ---- the map ------------------------------------------------------------- */

static int read_map(lq_cluster_map *map, const char *text, lunaq_error *err)
{
    const lq_cluster_addr asked = {.host = "asked", .port = 1};
    lq_resp resp = {0};
    lq_reply *reply = NULL;
    size_t used;
    assert_int_equal(lq_resp_feed(&resp, text, strlen(text), &used, NULL), 0);
    assert_int_equal(lq_resp_next(&resp, &reply, NULL), 0);
    assert_non_null(reply);
    int rc = lq_cluster_map_read(map, reply, &asked, err);
    lq_reply_free(reply);
    lq_resp_release(&resp);
    return rc;
}

static void map__slots__have_their_masters(void **state)
{
    static lq_cluster_map map;
    (void)state;
    assert_int_equal(
        read_map(&map,
                 "*2\r\n"
                 "*4\r\n:0\r\n:99\r\n*3\r\n$2\r\nh1\r\n:7001\r\n$2\r\nid\r\n"
                 "*3\r\n$2\r\nh2\r\n:7002\r\n$2\r\nid\r\n"
                 "*3\r\n:100\r\n:16383\r\n*3\r\n$-1\r\n:7003\r\n$2\r\nid\r\n",
                 NULL),
        LUNAQ_OK);
    assert_int_equal(map.count, 2); /* replicas are none */
    assert_int_equal(map.owner[99], 1);
    assert_int_equal(map.owner[100], 2);
    assert_string_equal(map.nodes[1].addr.host, "asked");
    assert_int_equal(map.nodes[0].slots, 100);
    assert_int_equal(map.nodes[1].slots, 16284);
    /* A later one with a gap: nobody is there, and the indexes stay. */
    assert_int_equal(
        read_map(&map,
                 "*1\r\n*3\r\n:0\r\n:9\r\n*3\r\n$2\r\nh9\r\n:7009\r\n$2\r\nid"
                 "\r\n",
                 NULL),
        LUNAQ_OK);
    assert_int_equal(map.owner[9], 3);
    assert_int_equal(map.owner[10], 0);
    assert_int_equal(map.nodes[0].slots, 0);
    lq_cluster_map_release(&map);
}

static void map__nonsense__leaves_it_as_it_was(void **state)
{
    static const char *const texts[] = {
        "+OK\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:7001\r\n",
        "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\nh\r\n:7001\r\n",
        "*1\r\n*3\r\n:-1\r\n:4\r\n*2\r\n$1\r\nh\r\n:7001\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n*2\r\n$1\r\nh\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n*2\r\n$1\r\nh\r\n:99999\r\n",
        "*1\r\n*2\r\n:0\r\n:4\r\n"};
    static lq_cluster_map map;
    (void)state;
    assert_int_equal(
        read_map(&map, "*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\nh\r\n:7001\r\n",
                 NULL),
        LUNAQ_OK);
    for (size_t i = 0; i < LQ_COUNT(texts); i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(read_map(&map, texts[i], &err), LUNAQ_EPROTO);
        assert_int_equal(map.owner[9], 1);
        assert_int_equal(map.nodes[0].slots, 10);
    }
    lq_cluster_map_release(&map);
}

static void hear__errors__mean_what_they_say(void **state)
{
    static const struct {
        const char *text, *host;
        enum lq_cluster_said said;
        int slot, port;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", LQ_SAID_MOVED, 3999, 6381},
        {"MOVED 0 ::1:6381", "::1", LQ_SAID_MOVED, 0, 6381},
        {"MOVED 7 :6381", "", LQ_SAID_MOVED, 7, 6381},
        {"ASK 16383 h:1", "h", LQ_SAID_ASK, 16383, 1},
        {"TRYAGAIN Multiple keys request during rehashing", "", LQ_SAID_LATER,
         0, 0},
        {"CLUSTERDOWN The cluster is down", "", LQ_SAID_DOWN, 0, 0},
        {"READONLY You can't write", "", LQ_SAID_DOWN, 0, 0},
        {"LOADING Redis is loading", "", LQ_SAID_DOWN, 0, 0},
        {"MASTERDOWN Link with MASTER is down", "", LQ_SAID_DOWN, 0, 0},
        {"MOVED 16384 h:1", "", LQ_SAID_NOTHING, 0, 0},
        {"MOVED 1 h", "", LQ_SAID_NOTHING, 0, 0},
        {"MOVED 1 h:70000", "", LQ_SAID_NOTHING, 0, 0},
        {"MOVED", "", LQ_SAID_NOTHING, 0, 0},
        {"ERR unknown command", "", LQ_SAID_NOTHING, 0, 0},
        {"", "", LQ_SAID_NOTHING, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        lq_cluster_hint h = lq_cluster_hear(lq_str_c(rows[i].text));
        assert_int_equal(h.said, rows[i].said);
        if (h.said != LQ_SAID_MOVED && h.said != LQ_SAID_ASK)
            continue;
        assert_int_equal(h.slot, rows[i].slot);
        assert_int_equal(h.to.port, rows[i].port);
        assert_string_equal(h.to.host, rows[i].host);
    }
}

/* ---- commands ------------------------------------------------------------ */

extern const lq_script lq_script_clean;
void lq_cmd_queue(lq_cmd *c, lq_str queue, const char *rest);

static void script__in_a_cluster__has_a_key_that_never_exists(void **state)
{
    lq_cmd c;
    lq_buf out;
    (void)state;
    lq_cmd_init(&c);
    c.cluster = true;
    lq_buf_init(&out, 0);
    lq_cmd_script(&c, &lq_script_clean, 1);
    lq_cmd_queue(&c, LQ_STR("q"), "completed");
    lq_cmd_queue(&c, LQ_STR("q"), "t:");
    assert_true(lq_cmd_format(&c, &out));
    lq_buf_add_char(&out, 0);
    assert_non_null(strstr(out.p, "\r\n$1\r\n2\r\n"
                                  "$19\r\nasynq:{q}:completed\r\n"
                                  "$16\r\nlunaq:{q}:moving\r\n"
                                  "$12\r\nasynq:{q}:t:\r\n"));
    lq_buf_release(&out);
    lq_cmd_release(&c);
}

/* ---- whatever nodes do --------------------------------------------------- */

static void operations__nodes_do_anything__every_result_is_true(void **state)
{
    (void)state;
    for (int run = 0; run < 4000; run++) {
        uint8_t bytes[600];
        uint64_t seed = (uint64_t)run * 0x9e3779b97f4a7c15u + 1;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes[i] = (uint8_t)(seed >> 24);
        }
        const char *wrong = cluster_model_run(bytes, sizeof(bytes));
        if (wrong)
            fail_msg("run %d: %s", run, wrong);
    }
}

/* ---- ends ---------------------------------------------------------------- */

static lq_cluster *make_cluster(void)
{
    lq_cluster *c = NULL;
    lq_url url;
    assert_int_equal(lq_url_parse(&url, "redis-cluster://h:7001", NULL), 0);
    assert_int_equal(lq_cluster_new(&c, &url, NULL), 0);
    lq_url_release(&url);
    lq_cluster_map *map = (lq_cluster_map *)(uintptr_t)lq_cluster_map_of(c);
    for (uint32_t slot = 0; slot < LQ_SLOTS; slot++)
        lq_cluster_map_move(map, (uint16_t)slot, 0);
    return c;
}

/* Of five queues one is wanted at first, then each of the others. */
static void hurry__canceled__also_what_would_have_followed(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    const lunaq_error why = {LUNAQ_ECANCELED, "closed"};
    lq_cluster *c = make_cluster();
    lq_step_queue queues[LQ_COUNT(names)];
    lq_op_step step = {.queues = queues,
                       .queue_count = LQ_COUNT(names),
                       .free = 5,
                       .token = 1,
                       .lease_ms = 1000};
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(names); i++)
        queues[i] = (lq_step_queue){.name = lq_str_c(names[i]), .want = i == 0};
    lq_op_init(&step.op, LQ_OP_STEP);
    lq_cluster_submit(c, &step.op, 0, 1000);
    lq_cluster_hurry(c, &why);
    assert_ptr_equal(lq_cluster_finished(c), &step.op);
    assert_int_equal(step.op.rc, LUNAQ_ECANCELED);
    lq_op_release(&step.op);
    lq_cluster_free(c);
}

static void hear(lq_op *part, uint32_t i, const char *text)
{
    lq_resp resp = {0};
    lq_reply *reply = NULL;
    size_t used;
    assert_int_equal(lq_resp_feed(&resp, text, strlen(text), &used, NULL), 0);
    assert_int_equal(lq_resp_next(&resp, &reply, NULL), 0);
    part->rc = lq_redis_op_of(part->kind)->parse(part, i, reply);
    lq_reply_free(reply);
    lq_resp_release(&resp);
}

/* Asked again it would be asked on another connection, and every replica has
 * all of what that one has written: nothing. */
static void wait__refused_behind_its_task__is_not_asked_alone(void **state)
{
    lq_cluster *c = make_cluster();
    lunaq_task task = LUNAQ_TASK_INIT;
    lq_enqueue item, *items[] = {&item};
    lq_op_enqueue op = {.items = items, .count = 1, .known_queues = true};
    size_t node;
    (void)state;
    task.type = "t";
    task.durable = LUNAQ_DURABLE_REPLICA;
    assert_int_equal(lq_enqueue_init(&item, &task, 0, NULL), 0);
    lq_op_init(&op.op, LQ_OP_ENQUEUE);
    lq_cluster_submit(c, &op.op, 0, 1000);
    lq_op *part = lq_cluster_next(c, &node, 0);
    assert_non_null(part);
    assert_int_equal(lq_redis_op_of(part->kind)->count(part), 2);
    hear(part, 0, "$1\r\nP\r\n");
    hear(part, 1, "-LOADING Redis is loading\r\n");
    lq_cluster_ended(c, part, 0);
    assert_null(lq_cluster_next(c, &node, 500));
    assert_ptr_equal(lq_cluster_finished(c), &op.op);
    assert_int_equal(item.code, LUNAQ_EUNKNOWN);
    lq_op_release(&op.op);
    lq_enqueue_release(&item);
    lq_cluster_free(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(slot__known_keys__are_redis_own),
        cmocka_unit_test(map__slots__have_their_masters),
        cmocka_unit_test(map__nonsense__leaves_it_as_it_was),
        cmocka_unit_test(hear__errors__mean_what_they_say),
        cmocka_unit_test(script__in_a_cluster__has_a_key_that_never_exists),
        cmocka_unit_test(operations__nodes_do_anything__every_result_is_true),
        cmocka_unit_test(hurry__canceled__also_what_would_have_followed),
        cmocka_unit_test(wait__refused_behind_its_task__is_not_asked_alone),
    };
    return cmocka_run_group_tests_name("cluster core", tests, NULL, NULL);
}
