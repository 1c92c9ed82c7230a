/* ops: how each operation looks to Redis: its commands and what it makes of
 * their replies.  Pure functions; the engine (proto.c) drives them. */
#ifndef LQ_REDIS_OPS_H
#define LQ_REDIS_OPS_H

#include "broker/broker.h"
#include "redis/resp.h"
#include "redis/script.h"

/* What keys begin with: redis/keys.h. */
typedef struct lq_heads lq_heads;

/* A command that is being built. */
typedef struct lq_cmd {
    lq_buf body;       /* its arguments, end to end; failed = out of memory */
    size_t *lens;      /* how long each is */
    const char **args; /* where each begins, once it is formatted */
    uint32_t argc, room;
    int redis; /* the server's version: 70015 = 7.0.15; 0 = unknown */
    bool eval; /* its script is sent in full */
    bool scripted;
    uint32_t keys;         /* how many keys the script was announced with */
    const lq_heads *heads; /* what keys begin with; never NULL */
    uint32_t key;  /* number of the first argument that is a key; 0 = none */
    uint32_t slot; /* in a cluster: for the node that has slot - 1, whatever its
                      key; 0 = the key says */
    bool cluster;  /* a script gets a key more: lq_cmd_format() */
    bool key_only; /* what follows the first key is left out */
} lq_cmd;

void lq_cmd_init(lq_cmd *c);
void lq_cmd_release(lq_cmd *c);
/** Begins another command in the same memory; what is known of the server
 *  and what the command is for stay. */
void lq_cmd_clear(lq_cmd *c);
/** The first key; p NULL = it has none.  Valid until the next change. */
lq_str lq_cmd_key(const lq_cmd *c);
/** Marks what is appended next as a key, if it is the first. */
void lq_cmd_mark_key(lq_cmd *c);
/** Appends the whole command to out.  In a cluster a script whose first key has
 *  a hash tag is announced with a key more, of the same slot, that never
 *  exists.  While a slot is moved between nodes, a command over several keys is
 *  refused (TRYAGAIN) on both sides unless all of them are there: so such a
 *  script never runs on a half of its keys, also of those that it makes up
 *  itself from a prefix.  False: out of memory, out->failed or
 *  not; out may have been changed. */
bool lq_cmd_format(lq_cmd *c, lq_buf *out);
void lq_cmd_str(lq_cmd *c, lq_str s);
void lq_cmd_c(lq_cmd *c, const char *s);
void lq_cmd_int(lq_cmd *c, int64_t v);
/** Encodes a message as one argument, as it is; for a task that is enqueued
 *  see lq_cmd_task() in redis/keys.h. */
void lq_cmd_encode(lq_cmd *c, const lq_task *t);
/** An argument of several pieces: "asynq:{" queue "}:" … */
void lq_cmd_join(lq_cmd *c, const lq_str *parts, size_t count);
/** Begins a script command: EVALSHA or EVAL, the script, the number of keys.
 *  The keys follow, then the arguments. */
void lq_cmd_script(lq_cmd *c, const lq_script *script, uint32_t keys);

/* A row of the table.  `more` and `lost` are asked for in a cluster only, where
 * every command goes to the node of its first key: rows that differ there are
 * in a table of their own (cluster_rows.h). */
typedef struct lq_redis_op {
    /* How many commands it sends, at least 1; NULL = 1.  Called once. */
    uint32_t (*count)(lq_op *op);
    /* Builds the i-th command.  May be called again for the same i (a script
     * that Redis no longer knows is sent in full), so it reads op and changes
     * nothing.  A code with its message in op->err: the operation ends with
     * it; only i == 0 may do that. */
    int (*build)(lq_op *op, uint32_t i, lq_cmd *cmd);
    /* Takes the i-th reply; views in it end with the call.  Replies come in
     * order, except when a script was sent again or in a cluster.  A code: the
     * operation will end with it; first one wins.  An error reply never comes
     * here: it makes op->rc EREPLY, EFULL or EBROKER, unless `errors`. */
    int (*parse)(lq_op *op, uint32_t i, const lq_reply *reply);
    /* Called once when it ends, also without all replies, if count() was:
     * op->rc is known.  Returns what op->rc shall be; NULL = op->rc. */
    int (*end)(lq_op *op);
    /* All commands so far are answered, and op->rc is OK: how many follow.
     * NULL = none. */
    uint32_t (*more)(lq_op *op);
    /* The i-th command will not be answered: EBROKER it was not carried out,
     * EUNKNOWN, ECANCELED; why says more.  Returns what parse would.  NULL: the
     * operation ends with it. */
    int (*lost)(lq_op *op, uint32_t i, const lunaq_error *why);
    bool follow;  /* in a cluster: a command without a key goes with the one
                     before it, on its connection */
    bool errors;  /* parse wants error replies too */
    bool endless; /* replies go on coming; ends with the connection */
} lq_redis_op;

/** The row of a kind; NULL when Redis does not do it. */
const lq_redis_op *lq_redis_op_of(enum lq_op_kind kind);

/** What an error reply means: EFULL, EBROKER (not carried out, try later) or
 *  EREPLY, with its text in *err. */
int lq_redis_error(lunaq_error *err, const char *what, const lq_reply *reply);
/** True when a command was refused because the server is a replica. */
bool lq_redis_is_readonly(lq_str error);
/** True when AUTH failed for the one reason that this server has no password,
 *  so that everybody is in already. */
bool lq_redis_wants_no_login(lq_str error);
/** What a server said to a login, for people, without what it may repeat of it:
 *  one that knows no AUTH answers "unknown command 'AUTH', with args beginning
 *  with: 'secret'".  Always NUL-terminated. */
void lq_redis_login_text(lq_str error, const char *password, char *out,
                         size_t size);
/** The value of "name:value" in the answer to INFO; empty when absent. */
lq_str lq_redis_info(lq_str info, const char *name);
#define LQ_REDIS_WAITAOF 70200 /* the first version that has it */
/** "7.0.15" → 70015; 0 for what is no version. */
int lq_redis_version(lq_str text);
/** Fails an operation because a reply is not what the script returns. */
int lq_redis_odd(lq_op *op);
/** A copy of the bytes in op->mem; p is never NULL on success.  False: out of
 *  memory. */
bool lq_redis_keep(lq_op *op, lq_str bytes, lq_str *copy);

#endif
