#include "support/cluster_model.h"

#include "redis/cluster.h"
#include "redis/ops.h"

#include <stdio.h>
#include <string.h>

#define NODES 4
#define QUEUES 5
#define ITEMS 12
#define OPS 3
#define OUT_MAX 64

/* An operation, and what nodes did for it. */
struct
try {
    bool is_step, durable, done;
    lq_op_enqueue enqueue;
    lq_enqueue items[ITEMS];
    lq_enqueue *pointers[ITEMS];
    lq_op_step step;
    lq_step_queue queues[QUEUES];
    lq_outcome outcomes[QUEUES][2];
    lq_outcome *outcome_pointers[QUEUES][2];
    uint32_t taken;
    int carried[QUEUES];    /* how often its tasks were enqueued or settled */
    bool unsure[QUEUES];    /* a command of it was sent and not answered */
    bool confirmed[QUEUES]; /* a replica has its tasks */
};

struct model {
    const uint8_t *data;
    size_t left;
    int64_t now;
    lq_cluster *cluster;
    struct try tries[OPS];
    const char *wrong;
};

static const char *const names[QUEUES] = {"a", "b", "c", "dd", "e1"};

static unsigned byte(struct model *m)
{
    if (!m->left)
        return 0;
    m->left--;
    return *m->data++;
}

static void check(struct model *m, bool ok, const char *what)
{
    if (!ok && !m->wrong)
        m->wrong = what;
}

/* ---- replies ------------------------------------------------------------- */

static void answer(struct model *m, lq_op *part, uint32_t i, const char *text)
{
    const lq_redis_op *row = lq_redis_op_of(part->kind);
    lq_resp resp = {0};
    lq_reply *reply = NULL;
    size_t used = 0;
    int rc = lq_resp_feed(&resp, text, strlen(text), &used, NULL);
    if (!rc)
        rc = lq_resp_next(&resp, &reply, NULL);
    check(m, !rc && reply, "the model's own reply is odd");
    if (reply)
        rc = row->parse(part, i, reply);
    if (!part->rc)
        part->rc = rc;
    lq_reply_free(reply);
    lq_resp_release(&resp);
}

static size_t tasks_of(const struct try *t, int queue)
{
    size_t n = 0;
    for (size_t k = 0; !t->is_step && k < t->enqueue.count; k++)
        n += lq_str_eq(t->items[k].task.queue, lq_str_c(names[queue]));
    return n;
}

/* The queue in a key's tag; -1 = none. */
static int queue_of(lq_str key)
{
    for (int q = 0; q < QUEUES; q++) {
        char tag[16];
        int n = snprintf(tag, sizeof(tag), "{%s}", names[q]);
        if (key.len && memmem(key.p, key.len, tag, (size_t)n))
            return q;
    }
    return -1;
}

/* The i-th argument of a command. */
static lq_str argument(const lq_cmd *c, uint32_t i)
{
    size_t at = 0;
    for (uint32_t k = 0; k < i && k < c->argc; k++)
        at += c->lens[k];
    return i < c->argc ? lq_str_n(c->body.p + at, c->lens[i]) : (lq_str){0};
}

/* Carries a command out: the reply in text. */
static void carry_out(struct model *m, struct try *t, const lq_cmd *c,
                      char *text, size_t size)
{
    int q = queue_of(lq_cmd_key(c));
    if (q < 0) {
        snprintf(text, size, ":1\r\n"); /* SADD, WAIT */
        return;
    }
    if (!t->is_step) {
        size_t n = tasks_of(t, q), at;
        t->carried[q]++;
        at = (size_t)snprintf(text, size, "$%zu\r\n", n);
        for (size_t k = 0; k < n && at + 4 < size; k++)
            text[at++] = 'P';
        snprintf(text + at, size - at, "\r\n");
        return;
    }
    bool settles = c->keys > 4;
    size_t codes = settles ? t->queues[q].outcome_count : 0;
    int64_t most = 0;
    lq_str free_text = argument(c, 3 + c->keys);
    check(m, lq_str_int64(free_text, &most), "a step without a number");
    uint32_t n = most > 0 ? byte(m) % (uint32_t)(most + 1) : 0;
    if (settles)
        t->carried[q]++;
    t->taken += n;
    size_t at =
        (size_t)snprintf(text, size, "*4\r\n$%zu\r\n%.*s\r\n$1\r\n%d\r\n",
                         codes, (int)codes, "00", n < (uint32_t)most ? 2 : 0);
    at += (size_t)snprintf(text + at, size - at, "*0\r\n*%u\r\n", n * 3);
    for (uint32_t k = 0; k < n && at + 40 < size; k++)
        at += (size_t)snprintf(text + at, size - at,
                               "$1\r\nx\r\n$1\r\nm\r\n:1\r\n");
}

/* ---- nodes --------------------------------------------------------------- */

/* One bundle at a node. */
static void serve(struct model *m, lq_op *part, struct try *t)
{
    const lq_redis_op *row = lq_redis_op_of(part->kind);
    uint32_t n = row->count(part);
    unsigned fate = byte(m);
    char text[4000] = "";
    lq_cmd cmd;

    part->rc = LUNAQ_OK;
    if (fate % 8 == 0) { /* not connected */
        part->rc = lq_fail(&part->err, LUNAQ_EBROKER, "not connected");
        lq_cluster_ended(m->cluster, part, m->now);
        return;
    }
    lq_cmd_init(&cmd);
    cmd.cluster = true;
    bool broken = false;
    int before = -1; /* the queue whose tasks were enqueued just now */
    for (uint32_t i = 0; i < n && !broken; i++) {
        lq_cmd_clear(&cmd);
        check(m, row->build(part, i, &cmd) == LUNAQ_OK, "it does not build");
        lq_str first = argument(&cmd, 0);
        int q = queue_of(lq_cmd_key(&cmd));
        unsigned what = byte(m);
        unsigned slot = what * 64, to = 7001 + what % NODES;
        if (lq_str_eq(first, LQ_STR("ASKING"))) {
            answer(m, part, i, "+OK\r\n");
            continue;
        }
        bool wait = lq_str_eq(first, LQ_STR("WAIT"));
        if (wait)
            check(m, i > 0, "a WAIT without its tasks");
        if (q >= 0)
            check(m, !t->unsure[q] || t->is_step,
                  "sent again after an unknown end");
        if (lq_cmd_key(&cmd).p)
            slot = lq_cluster_slot(lq_cmd_key(&cmd));
        switch (byte(m) % 12) {
        case 0:
            snprintf(text, sizeof(text), "-MOVED %u h:%u\r\n", slot, to);
            break;
        case 1:
            snprintf(text, sizeof(text), "-ASK %u h:%u\r\n", slot, to);
            break;
        case 2:
            snprintf(text, sizeof(text), "-TRYAGAIN Multiple keys\r\n");
            break;
        case 3:
            snprintf(text, sizeof(text), "-CLUSTERDOWN Hash slot\r\n");
            break;
        case 4:
            snprintf(text, sizeof(text), "-MOVED 99999 h:x\r\n");
            break;
        case 5: /* carried out or not, nobody knows */
            if (byte(m) % 2)
                carry_out(m, t, &cmd, text, sizeof(text));
            broken = true;
            break;
        case 6: /* no replica had it in time */
            if (wait) {
                snprintf(text, sizeof(text), ":0\r\n");
                break;
            }
            /* fallthrough */
        default:
            carry_out(m, t, &cmd, text, sizeof(text));
            if (wait && before >= 0)
                t->confirmed[before] = true;
        }
        before = q >= 0 && text[0] == '$' ? q : -1;
        if (broken) {
            /* Of what comes behind it nothing is known, either. */
            for (uint32_t k = i; k < n; k++) {
                lq_cmd_clear(&cmd);
                (void)row->build(part, k, &cmd);
                q = queue_of(lq_cmd_key(&cmd));
                if (q >= 0)
                    t->unsure[q] = true;
            }
        } else {
            answer(m, part, i, text);
        }
    }
    if (broken)
        part->rc = lq_fail(&part->err, LUNAQ_EUNKNOWN, "lost");
    lq_cmd_release(&cmd);
    lq_cluster_ended(m->cluster, part, m->now);
}

/* ---- operations ---------------------------------------------------------- */

static void begin_enqueue(struct model *m, struct try *t)
{
    lq_op_enqueue *o = &t->enqueue;
    lq_op_init(&o->op, LQ_OP_ENQUEUE);
    o->count = 1 + byte(m) % ITEMS;
    o->known_queues = byte(m) % 2;
    t->durable = byte(m) % 2;
    o->items = t->pointers;
    for (size_t k = 0; k < o->count; k++) {
        lq_enqueue *e = &t->items[k];
        *e = (lq_enqueue){.task = {.type = LQ_STR("t"), .id = LQ_STR("i")}};
        if (t->durable)
            e->durable = LUNAQ_DURABLE_REPLICA;
        e->task.queue = lq_str_c(names[byte(m) % QUEUES]);
        t->pointers[k] = e;
    }
    lq_cluster_submit(m->cluster, &o->op, m->now, (int64_t)byte(m) * 4);
}

static void begin_step(struct model *m, struct try *t)
{
    lq_op_step *s = &t->step;
    size_t outcomes = 0;
    lq_op_init(&s->op, LQ_OP_STEP);
    s->queues = t->queues;
    s->queue_count = QUEUES;
    s->token = 1;
    s->lease_ms = 1000;
    for (int q = 0; q < QUEUES; q++) {
        lq_step_queue *sq = &t->queues[q];
        *sq = (lq_step_queue){.name = lq_str_c(names[q]),
                              .outcomes = t->outcome_pointers[q],
                              .outcome_count = byte(m) % 3};
        sq->want = byte(m) % 4;
        for (size_t k = 0; k < sq->outcome_count; k++) {
            t->outcomes[q][k] = (lq_outcome){
                .kind = LQ_DONE, .id = LQ_STR("i"), .token = 1, .code = -1};
            t->outcome_pointers[q][k] = &t->outcomes[q][k];
        }
        sq->extra = byte(m) % (sq->outcome_count + 1);
        outcomes += sq->outcome_count - sq->extra;
    }
    s->free = (uint32_t)outcomes + byte(m) % 5;
    lq_cluster_submit(m->cluster, &s->op, m->now, (int64_t)byte(m) * 4);
}

static void check_code(struct model *m, const struct try *t, int q, int code)
{
    bool sure = !t->durable || t->confirmed[q];
    if (code == LUNAQ_OK)
        check(m, t->carried[q] == 1 && sure, "OK, and not carried out once");
    else if (code == LUNAQ_EUNKNOWN)
        check(m, t->carried[q] <= 1 && (t->unsure[q] || !sure),
              "unknown without need");
    else
        check(m,
              (code == LUNAQ_EBROKER || code == LUNAQ_EREPLY) &&
                  t->carried[q] == 0,
              "refused, and carried out");
}

static void end_try(struct model *m, struct try *t)
{
    uint32_t settled = 0, outcomes = 0;
    check(m, !t->done, "done twice");
    t->done = true;
    for (size_t k = 0; !t->is_step && k < t->enqueue.count; k++) {
        const lq_enqueue *e = &t->items[k];
        for (int q = 0; q < QUEUES; q++)
            if (lq_str_eq(e->task.queue, lq_str_c(names[q])))
                check_code(m, t, q, e->code);
    }
    for (int q = 0; t->is_step && q < QUEUES; q++) {
        const lq_step_queue *sq = &t->queues[q];
        outcomes += (uint32_t)(sq->outcome_count - sq->extra);
        for (size_t k = 0; k < sq->outcome_count; k++) {
            int code = sq->outcomes[k]->code;
            check_code(m, t, q, code);
            settled += code == LUNAQ_OK && k >= sq->extra;
        }
    }
    if (t->is_step) {
        uint32_t lost = 0;
        for (int q = 0; q < QUEUES; q++)
            lost += t->unsure[q];
        check(m, t->step.taken_count <= t->taken, "taken out of nowhere");
        check(m, lost || t->step.taken_count == t->taken || t->step.op.rc,
              "taken, and not told");
        check(m, t->step.taken_count <= t->step.free - outcomes + settled,
              "more taken than there are slots");
        lq_op_release(&t->step.op);
    } else {
        lq_op_release(&t->enqueue.op);
    }
}

static void fetch(struct model *m)
{
    lq_op *op;
    while ((op = lq_cluster_finished(m->cluster)))
        for (size_t i = 0; i < OPS; i++)
            if (op == &m->tries[i].enqueue.op || op == &m->tries[i].step.op)
                end_try(m, &m->tries[i]);
}

/* A quarter of the slots for each. */
static void give_map(struct model *m)
{
    lq_op_slots op = {.cluster = m->cluster, .asked = {.host = "h", .port = 1}};
    char text[400];
    size_t at = (size_t)snprintf(text, sizeof(text), "*%d\r\n", NODES);
    for (int i = 0; i < NODES; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at,
                               "*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\nh\r\n:%d"
                               "\r\n",
                               i * 4096, i * 4096 + 4095, 7001 + i);
    lq_op_init(&op.op, LQ_OP_SLOTS);
    answer(m, &op.op, 0, text);
    check(m, op.op.rc == LUNAQ_OK, "the model's map is odd");
    lq_cluster_fresh(m->cluster);
}

const char *cluster_model_run(const uint8_t *data, size_t size)
{
    static struct model whole;
    struct model *m = &whole;
    lq_url url;
    lq_op *out[OUT_MAX];
    struct try *whose[OUT_MAX];
    size_t outs = 0;

    memset(m, 0, sizeof(*m));
    m->data = data;
    m->left = size;
    m->now = 1000;
    if (lq_url_parse(&url, "redis-cluster://h:7001,h:7002,h:7003,h:7004", NULL))
        return "no URL";
    if (lq_cluster_new(&m->cluster, &url, NULL))
        return "no cluster";
    lq_url_release(&url);
    if (byte(m) % 8)
        give_map(m);
    for (size_t i = 0; i < OPS; i++) {
        struct try *t = &m->tries[i];
        t->is_step = byte(m) % 2;
        if (t->is_step)
            begin_step(m, t);
        else
            begin_enqueue(m, t);
        /* All its bundles, one after the other, as far as they come. */
        for (int rounds = 0; !t->done && rounds < 100000; rounds++) {
            size_t node;
            lq_op *part;
            while (outs < OUT_MAX &&
                   (part = lq_cluster_next(m->cluster, &node, m->now))) {
                check(m, node < NODES + 64, "no such node");
                out[outs] = part;
                whose[outs++] = t;
            }
            if (outs) { /* in any order */
                size_t k = byte(m) % outs;
                part = out[k];
                struct try *of = whose[k];
                out[k] = out[--outs];
                whose[k] = whose[outs];
                serve(m, part, of);
            } else {
                int64_t due = lq_cluster_due(m->cluster);
                if (due == INT64_MAX && !t->done) {
                    fetch(m);
                    check(m, t->done, "nothing to do, and not done");
                    break;
                }
                m->now = due > m->now ? due : m->now + 1;
                if (byte(m) % 4 == 0)
                    lq_cluster_fresh(m->cluster);
            }
            if (byte(m) % 32 == 1) {
                const lunaq_error why = {LUNAQ_EBROKER, "hurry"};
                lq_cluster_hurry(m->cluster, &why);
            }
            if (!m->left)
                m->now += 5; /* patience ends */
            fetch(m);
        }
        check(m, t->done, "never done");
    }
    check(m, lq_cluster_out(m->cluster) == 0, "something is still out");
    lq_cluster_free(m->cluster);
    return m->wrong;
}
