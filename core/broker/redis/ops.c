/* The table of operations, and what they share. */
#include "redis/ops.h"

#include "redis/inspect.h"
#include "redis/rows.h"

const lq_redis_op *lq_redis_op_of(enum lq_op_kind kind)
{
    static const lq_redis_op *const rows[LQ_OP_KINDS] = {
        [LQ_OP_PING] = &lq_row_ping,
        [LQ_OP_TOKEN] = &lq_row_token,
        [LQ_OP_TOKEN_RENEW] = &lq_row_token_renew,
        [LQ_OP_ENQUEUE] = &lq_row_enqueue,
        [LQ_OP_STEP] = &lq_row_step,
        [LQ_OP_EXTEND] = &lq_row_extend,
        [LQ_OP_RECONCILE] = &lq_row_reconcile,
        [LQ_OP_EXPIRED] = &lq_row_expired,
        [LQ_OP_FORWARD] = &lq_row_forward,
        [LQ_OP_CLEAN] = &lq_row_clean,
        [LQ_OP_REPAIR] = &lq_row_repair,
        [LQ_OP_PEEK] = &lq_row_peek,
        [LQ_OP_WAIT] = &lq_row_wait,
        [LQ_OP_HEARTBEAT] = &lq_row_heartbeat,
        [LQ_OP_GOODBYE] = &lq_row_goodbye,
        [LQ_OP_CRON_FIRE] = &lq_row_cron_fire,
        [LQ_OP_CRON_PUBLISH] = &lq_row_cron_publish,
        [LQ_OP_CRON_RECORD] = &lq_row_cron_record,
        [LQ_OP_CRON_HISTORY] = &lq_row_cron_history,
        [LQ_OP_LISTEN] = &lq_row_listen,
        [LQ_OP_RESULT] = &lq_row_result,
        [LQ_OP_CANCEL] = &lq_row_cancel,
        [LQ_OP_AUDIT] = &lq_row_audit,
        [LQ_OP_SLOTS] = &lq_row_slots,
        [LQ_OP_PART] = &lq_row_part,
        [LQ_OP_UNTOLD] = &lq_row_untold,
        [LQ_OP_ORDER] = &lq_row_order,
        [LQ_OP_ORDER_TAKE] = &lq_row_order_take,
        [LQ_OP_GROUPS] = &lq_row_groups,
        [LQ_OP_GROUP_TAKE] = &lq_row_group_take,
        [LQ_OP_GROUP_FINISH] = &lq_row_group_finish,
        [LQ_OP_GROUP_BACK] = &lq_row_group_back,
        [LQ_OP_GROUP_EXTEND] = &lq_row_group_extend,
        [LQ_OP_GROUP_RECLAIM] = &lq_row_group_reclaim,
    };
    if ((size_t)kind >= LQ_COUNT(rows))
        return NULL;
    return rows[kind] ? rows[kind] : lq_inspect_row(kind);
}

/* Redis 6.2 wraps what a script ran into: "… -OOM command …". */
static bool error_says(lq_str text, lq_str head)
{
    const char *at =
        text.len ? memmem(text.p, text.len, head.p, head.len) : NULL;
    return at && (at == text.p || at[-1] == '-');
}

int lq_redis_error(lunaq_error *err, const char *what, const lq_reply *reply)
{
    static const struct {
        const char *head;
        int code;
    } known[] = {
        {"OOM ", LUNAQ_EFULL},          {"MISCONF ", LUNAQ_EFULL},
        {"LOADING ", LUNAQ_EBROKER},    {"BUSY ", LUNAQ_EBROKER},
        {"MASTERDOWN ", LUNAQ_EBROKER}, {"READONLY ", LUNAQ_EBROKER},
        {"NOREPLICAS ", LUNAQ_EBROKER}, {"CLUSTERDOWN ", LUNAQ_EBROKER},
        {"TRYAGAIN ", LUNAQ_EBROKER},
    };
    int code = LUNAQ_EREPLY;
    lq_str text = lq_reply_error(reply);
    for (size_t i = 0; i < LQ_COUNT(known); i++)
        if (error_says(text, lq_str_c(known[i].head)))
            code = known[i].code;
    char clean[200];
    text.len = lq_utf8_clean(text, clean, sizeof(clean));
    bool cluster = lq_str_starts(text, LQ_STR("MOVED ")) ||
                   lq_str_starts(text, LQ_STR("CROSSSLOT "));
    return lq_fail(err, code, "redis: %s: %.*s%s", what, (int)text.len, clean,
                   cluster ? ": this is a node of a cluster: begin the URL "
                             "with redis-cluster://"
                           : "");
}

bool lq_redis_is_readonly(lq_str error)
{
    return error_says(error, LQ_STR("READONLY "));
}

bool lq_redis_wants_no_login(lq_str error)
{
    lq_str says = LQ_STR("without any password configured");
    return error.len && memmem(error.p, error.len, says.p, says.len);
}

void lq_redis_login_text(lq_str error, const char *password, char *out,
                         size_t size)
{
    const lq_str secret[] = {LQ_STR(", with args"), lq_str_c(password)};
    for (size_t i = 0; i < LQ_COUNT(secret); i++) {
        const char *at =
            error.len && secret[i].len
                ? memmem(error.p, error.len, secret[i].p, secret[i].len)
                : NULL;
        if (at)
            error.len = (size_t)(at - error.p);
    }
    size_t len = lq_utf8_clean(error, out, size - 1);
    while (len && (out[len - 1] == '.' || out[len - 1] == ' '))
        len--; /* more follows */
    out[len] = 0;
}

int lq_redis_odd(lq_op *op)
{
    return lq_fail(&op->err, LUNAQ_EPROTO,
                   "redis: %s: a reply of an unexpected form",
                   lq_op_name(op->kind));
}

bool lq_redis_keep(lq_op *op, lq_str bytes, lq_str *copy)
{
    char *p = lq_arena_dup(&op->mem, bytes);
    *copy = lq_str_n(p, p ? bytes.len : 0);
    return p != NULL;
}

lq_str lq_redis_info(lq_str info, const char *name)
{
    lq_str key = lq_str_c(name);
    while (info.len) {
        const char *nl = memchr(info.p, '\n', info.len);
        size_t len = nl ? (size_t)(nl - info.p) : info.len;
        lq_str line = lq_str_n(info.p, len);
        info = lq_str_n(info.p + len + (nl ? 1 : 0),
                        info.len - len - (nl ? 1 : 0));
        if (line.len && line.p[line.len - 1] == '\r')
            line.len--;
        if (line.len > key.len && line.p[key.len] == ':' &&
            lq_str_starts(line, key))
            return lq_str_n(line.p + key.len + 1, line.len - key.len - 1);
    }
    return (lq_str){0};
}

int lq_redis_version(lq_str text)
{
    int parts[3] = {0};
    int n = 0;
    for (size_t i = 0; i < text.len && n < 3; i++) {
        if (text.p[i] >= '0' && text.p[i] <= '9' && parts[n] < 1000)
            parts[n] = parts[n] * 10 + (text.p[i] - '0');
        else if (text.p[i] == '.')
            n++;
        else
            break;
    }
    return parts[0] * 10000 + (parts[1] < 99 ? parts[1] : 99) * 100 +
           (parts[2] < 99 ? parts[2] : 99);
}
