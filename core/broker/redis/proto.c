#include "redis/proto.h"

#include "redis/keys.h"

#include <stdio.h>
#include <stdlib.h>

#define READ_ROOM ((size_t)16 * 1024)
#define KEEP_ROOM ((size_t)1024 * 1024) /* a buffer larger than it is freed */
#define REDIS_OLDEST 60200              /* 6.2: BLMOVE, ZMSCORE, LPOP count */

enum greeting { GREET_AUTH, GREET_SELECT, GREET_ROLE, GREET_INFO, GREET_PING };

/* One command under way.  Replies come in the order of commands. */
struct sent {
    lq_op *op;      /* NULL: a greeting */
    uint32_t i;     /* which of op's commands */
    bool eval;      /* its script was sent in full */
    uint64_t start; /* where its bytes begin in the connection's stream */
};

struct lq_proto {
    char *user, *password;
    int database;
    bool cluster;
    lq_heads heads;
    bool named;   /* a sentinel named the server: it has to be a master */
    bool listens; /* an endless operation was confirmed */
    bool demoted; /* it said that it is a replica: who is next has to be a
                     master */
    enum lq_proto_state state;
    int redis; /* version, 70015 = 7.0.15; 0 = it would not say */

    /* `front` is being written and does not move, `back` is appended to; they
     * swap when front is empty. */
    lq_buf front, back;
    size_t front_at;
    uint64_t queued, left; /* bytes of the stream queued and sent */
    lq_cmd cmd;

    char *in; /* READ_ROOM bytes, once something is to be read */
    lq_resp resp;

    struct sent *ring; /* commands under way: count from first */
    size_t first, count, room;

    lq_list flight;   /* operations under way */
    lq_list finished; /* to be fetched */
    size_t under_way;
};

int lq_proto_new(lq_proto **out, const lq_url *url, lunaq_error *err)
{
    lq_proto *p = lq_calloc(1, sizeof(*p));
    *out = NULL;
    if (url->scheme == LQ_URL_SQLITE) {
        lq_free(p);
        return lq_fail(err, LUNAQ_ECONFIG, "sqlite:%s is not a Redis server",
                       url->host);
    }
    if (!p)
        return lq_fail_nomem(err);
    lq_buf_init(&p->front, 0);
    lq_buf_init(&p->back, 0);
    lq_cmd_init(&p->cmd);
    lq_list_init(&p->flight);
    lq_list_init(&p->finished);
    p->user = lq_strdup(url->user);
    p->password = lq_strdup(url->password);
    p->database = url->database;
    p->cluster = url->cluster;
    lq_heads_init(&p->heads, url->prefix);
    p->named = url->scheme == LQ_URL_REDIS_SENTINEL;
    if ((url->user && !p->user) || (url->password && !p->password)) {
        lq_proto_free(p);
        return lq_fail_nomem(err);
    }
    *out = p;
    return LUNAQ_OK;
}

void lq_proto_free(lq_proto *p)
{
    if (!p)
        return;
    lq_buf_release(&p->front);
    lq_buf_release(&p->back);
    lq_cmd_release(&p->cmd);
    lq_free(p->in);
    lq_resp_release(&p->resp);
    lq_free(p->ring);
    lq_free(p->user);
    lq_free(p->password);
    lq_free(p);
}

enum lq_proto_state lq_proto_state(const lq_proto *p)
{
    return p->state;
}

size_t lq_proto_under_way(const lq_proto *p)
{
    return p->under_way;
}

/* ---- commands under way -------------------------------------------------- */

static bool ring_push(lq_proto *p, struct sent s)
{
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 64;
        struct sent *ring = lq_malloc(room * sizeof(*ring));
        if (!ring)
            return false;
        for (size_t i = 0; i < p->count; i++)
            ring[i] = p->ring[(p->first + i) % p->room];
        lq_free(p->ring);
        p->ring = ring;
        p->room = room;
        p->first = 0;
    }
    p->ring[(p->first + p->count++) % p->room] = s;
    return true;
}

static struct sent ring_shift(lq_proto *p)
{
    struct sent s = p->ring[p->first];
    p->first = (p->first + 1) % p->room;
    p->count--;
    return s;
}

static lq_cmd *cmd_begin(lq_proto *p, bool eval)
{
    lq_cmd *c = &p->cmd;
    lq_cmd_clear(c);
    c->redis = p->redis;
    c->heads = &p->heads;
    c->cluster = p->cluster;
    c->eval = eval;
    return c;
}

/* Queues the command that was built: all of it or nothing. */
static bool cmd_end(lq_proto *p, lq_op *op, uint32_t i)
{
    lq_buf *b = &p->back;
    size_t before = b->len;
    struct sent s = {op, i, p->cmd.eval, p->queued};
    if (!lq_cmd_format(&p->cmd, b) || !ring_push(p, s)) {
        b->failed = false;
        b->len = before;
        return false;
    }
    p->queued += b->len - before;
    return true;
}

static int send_command(lq_proto *p, const lq_redis_op *row, lq_op *op,
                        uint32_t i, bool eval)
{
    int rc = row->build(op, i, cmd_begin(p, eval));
    if (rc)
        return rc;
    return cmd_end(p, op, i) ? LUNAQ_OK : lq_fail_nomem(&op->err);
}

/* ---- operations ---------------------------------------------------------- */

static void finish(lq_proto *p, const lq_redis_op *row, lq_op *op, int rc)
{
    op->rc = rc;
    if (row && row->end)
        op->rc = row->end(op);
    lq_list_append(&p->finished, &op->node);
}

void lq_proto_submit(lq_proto *p, lq_op *op)
{
    const lq_redis_op *row = lq_redis_op_of(op->kind);
    if (!row) {
        finish(p, NULL, op,
               lq_fail(&op->err, LUNAQ_EINVAL, "redis: %s is not supported",
                       lq_op_name(op->kind)));
        return;
    }
    if (p->state != LQ_PROTO_READY) {
        finish(p, NULL, op,
               lq_fail(&op->err, LUNAQ_EBROKER, "redis: not connected"));
        return;
    }
    uint32_t commands = row->count ? row->count(op) : 1;
    size_t bytes = p->back.len, count = p->count;
    uint64_t queued = p->queued;
    int rc = LUNAQ_OK;
    for (uint32_t i = 0; i < commands && !rc; i++)
        rc = send_command(p, row, op, i, false);
    if (rc || commands == 0) {
        p->back.len = bytes;
        p->count = count;
        p->queued = queued;
        finish(p, row, op, rc);
        return;
    }
    op->commands = commands;
    op->replies = 0;
    lq_list_append(&p->flight, &op->node);
    p->under_way++;
}

void lq_proto_nudge(lq_proto *p)
{
    lq_buf *b = &p->back;
    size_t before = b->len;
    if (!p->listens) /* a late refusal would leave an answer to nothing */
        return;
    lq_cmd *c = cmd_begin(p, false);
    lq_cmd_c(c, "PING"); /* one of the few that a listener may send */
    if (!lq_cmd_format(c, b)) {
        b->failed = false;
        b->len = before;
    }
    p->queued += b->len - before;
}

lq_op *lq_proto_finished(lq_proto *p)
{
    lq_list *node = lq_list_shift(&p->finished);
    return node ? LQ_OF(node, lq_op, node) : NULL;
}

static void answered(lq_proto *p, const lq_redis_op *row, lq_op *op)
{
    if (++op->replies < op->commands)
        return;
    lq_list_remove(&op->node);
    p->under_way--;
    finish(p, row, op, op->rc);
}

/* Fails when the connection is of no more use. */
static int take_reply(lq_proto *p, const lq_reply *reply, lunaq_error *err)
{
    struct sent s = p->ring[p->first];
    lq_op *op = s.op;
    const lq_redis_op *row = lq_redis_op_of(op->kind);
    int rc = LUNAQ_OK;
    bool error = lq_reply_type(reply) == LQ_REPLY_ERROR;

    if (row->endless && error && p->listens)
        return LUNAQ_OK; /* it may not be nudged: that is an answer, too */
    if (error && lq_redis_is_readonly(lq_reply_error(reply)))
        p->demoted = true;
    if (!row->endless)
        (void)ring_shift(p);
    if (error && !s.eval &&
        lq_str_starts(lq_reply_error(reply), LQ_STR("NOSCRIPT"))) {
        rc = send_command(p, row, op, s.i, true);
        if (!rc)
            return LUNAQ_OK;
    } else if (error && !row->errors) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        rc = lq_redis_error(&why, lq_op_name(op->kind), reply);
        if (!op->rc)
            op->err = why;
    } else {
        lunaq_error first = op->err;
        rc = row->parse(op, s.i, reply);
        if (op->rc)
            op->err = first;
    }
    if (!op->rc)
        op->rc = rc;
    if (row->endless)
        p->listens = !op->rc;
    if (row->endless && op->rc) {
        (void)ring_shift(p);
        op->replies = op->commands - 1;
        answered(p, row, op);
    } else if (!row->endless) {
        answered(p, row, op);
    }
    return p->demoted ? lq_fail(err, LUNAQ_EBROKER,
                                "redis: the server has become a replica "
                                "(READONLY): looking for the master")
                      : LUNAQ_OK;
}

/* ---- greeting ------------------------------------------------------------ */

static bool greet(lq_proto *p, enum greeting what)
{
    lq_cmd *c = cmd_begin(p, false);
    switch (what) {
    case GREET_AUTH:
        lq_cmd_c(c, "AUTH");
        if (p->user)
            lq_cmd_c(c, p->user);
        lq_cmd_c(c, p->password ? p->password : "");
        break;
    case GREET_SELECT:
        lq_cmd_c(c, "SELECT");
        lq_cmd_int(c, p->database);
        break;
    case GREET_ROLE:
        lq_cmd_c(c, "ROLE");
        break;
    case GREET_INFO:
        lq_cmd_c(c, "INFO");
        lq_cmd_c(c, "server");
        break;
    case GREET_PING:
        lq_cmd_c(c, "PING");
        break;
    }
    return cmd_end(p, NULL, (uint32_t)what);
}

int lq_proto_begin(lq_proto *p, lunaq_error *err)
{
    p->redis = 0;
    if (((p->password || p->user) && !greet(p, GREET_AUTH)) ||
        (p->database && !greet(p, GREET_SELECT)) ||
        ((p->named || p->demoted) && !greet(p, GREET_ROLE)) ||
        !greet(p, GREET_INFO) || !greet(p, GREET_PING)) {
        const lunaq_error none = {LUNAQ_ENOMEM, "out of memory"};
        lq_proto_lost(p, &none);
        return lq_fail_nomem(err);
    }
    p->state = LQ_PROTO_GREETING;
    return LUNAQ_OK;
}

/* A user without the right to ask is let through: a replica refuses the first
 * write, and that ends the connection, too. */
static int take_role(lq_proto *p, const lq_reply *reply, lunaq_error *err)
{
    lq_str role = lq_reply_str(lq_reply_at(reply, 0));
    if (lq_str_starts(lq_reply_error(reply), LQ_STR("NOPERM")) ||
        lq_str_eq(role, LQ_STR("master"))) {
        p->demoted = false;
        return LUNAQ_OK;
    }
    if (lq_reply_type(reply) == LQ_REPLY_ERROR)
        return lq_redis_error(err, "ROLE", reply);
    return lq_fail(err, LUNAQ_EBROKER,
                   p->named ? "redis: the server that a sentinel named is not "
                              "(yet) a master"
                            : "redis: the server is a replica (READONLY): "
                              "waiting until it, or who else has its name, is "
                              "a master");
}

static int take_greeting(lq_proto *p, const lq_reply *reply, lunaq_error *err)
{
    struct sent s = ring_shift(p);
    enum greeting what = (enum greeting)s.i;
    bool error = lq_reply_type(reply) == LQ_REPLY_ERROR;
    lq_str text = lq_reply_error(reply);
    char said[150];

    lq_redis_login_text(text, p->password, said, sizeof(said));
    if (error && what == GREET_AUTH && p->named &&
        lq_redis_wants_no_login(text))
        return LUNAQ_OK; /* what is in the URL was for the sentinels */
    if (error && (what == GREET_AUTH || lq_str_starts(text, LQ_STR("NOAUTH"))))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: login refused: %s: check user and password in "
                       "the broker URL",
                       said);
    if (error && what == GREET_SELECT)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: database %d refused: %s: check the number in "
                       "the broker URL",
                       p->database, said);
    if (what == GREET_ROLE)
        return take_role(p, reply, err);
    if (what == GREET_INFO && !error) {
        lq_str version = lq_redis_info(lq_reply_str(reply), "redis_version");
        p->redis = lq_redis_version(version);
        if (p->redis && p->redis < REDIS_OLDEST)
            return lq_fail(err, LUNAQ_ECONFIG,
                           "redis: version %.*s is too old: 6.2 or newer is "
                           "needed",
                           LQ_STR_ARG(version));
    }
    if (what == GREET_PING) {
        /* A user without the right to PING is let through: what it may not do
         * is answered command by command. */
        if (error && !lq_str_starts(text, LQ_STR("NOPERM"))) {
            int rc = lq_redis_error(err, "greeting", reply);
            return rc == LUNAQ_EREPLY ? LUNAQ_ECONFIG : rc;
        }
        p->state = LQ_PROTO_READY;
    }
    return LUNAQ_OK;
}

/* ---- bytes --------------------------------------------------------------- */

lq_str lq_proto_output(lq_proto *p)
{
    if (p->front.len == 0 && p->back.len > 0) {
        lq_buf full = p->back;
        p->back = p->front;
        p->front = full;
        p->front_at = 0;
    }
    if (p->front.len == 0)
        return (lq_str){0};
    return lq_str_n(p->front.p + p->front_at, p->front.len - p->front_at);
}

static void buf_emptied(lq_buf *b)
{
    if (b->cap > KEEP_ROOM)
        lq_buf_release(b);
    else
        lq_buf_clear(b);
}

void lq_proto_sent(lq_proto *p, size_t n)
{
    p->front_at += n;
    p->left += n;
    if (p->front_at >= p->front.len) {
        buf_emptied(&p->front);
        p->front_at = 0;
    }
}

char *lq_proto_space(lq_proto *p, size_t *size)
{
    if (!p->in)
        p->in = lq_malloc(READ_ROOM);
    *size = p->in ? READ_ROOM : 0;
    return p->in;
}

/* Takes every reply that is whole. */
static int take_replies(lq_proto *p, lunaq_error *err)
{
    lq_reply *reply;
    int rc = lq_resp_next(&p->resp, &reply, err);
    while (!rc && reply) {
        if (p->count == 0)
            rc = lq_fail(err, LUNAQ_EPROTO,
                         "redis: a reply that nothing asked for");
        else if (p->ring[p->first].op)
            rc = take_reply(p, reply, err);
        else
            rc = take_greeting(p, reply, err);
        lq_reply_free(reply);
        if (!rc)
            rc = lq_resp_next(&p->resp, &reply, err);
    }
    return rc;
}

int lq_proto_received(lq_proto *p, size_t n, lunaq_error *err)
{
    for (size_t at = 0, used; at < n; at += used) {
        int rc = lq_resp_feed(&p->resp, p->in + at, n - at, &used, err);
        if (!rc)
            rc = take_replies(p, err);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

void lq_proto_lost(lq_proto *p, const lunaq_error *why)
{
    /* An operation is unknown when a byte of a command without its reply has
     * left, or a reply to another of its commands came. */
    while (p->count > 0) {
        struct sent s = ring_shift(p);
        if (s.op && s.start < p->left)
            s.op->replies = 1;
    }
    for (lq_list *node; (node = lq_list_shift(&p->flight));) {
        lq_op *op = LQ_OF(node, lq_op, node);
        int rc = why->code == LUNAQ_ECANCELED ? LUNAQ_ECANCELED
                 : op->replies                ? LUNAQ_EUNKNOWN
                                              : LUNAQ_EBROKER;
        finish(p, lq_redis_op_of(op->kind), op,
               lq_fail(&op->err, rc, "%s", why->message));
    }
    p->under_way = 0;
    buf_emptied(&p->front);
    buf_emptied(&p->back);
    p->front_at = 0;
    p->queued = p->left = 0;
    p->listens = false;
    lq_resp_release(&p->resp);
    p->state = LQ_PROTO_DOWN;
}
