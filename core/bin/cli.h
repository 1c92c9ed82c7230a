/* What the files of the command line program share.
 *
 * A verb is a row: name, usage, one line of help, its options, a function.
 * The function gets its options and arguments parsed and a way to the broker,
 * and returns the exit code: 0 done, 1 failed, 2 wrongly called.
 */
#ifndef LUNAQ_CLI_H
#define LUNAQ_CLI_H

#include <lunaq/lunaq.h>
#include <stdbool.h>
#include <stdio.h>

#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2

#define CLI_OPTIONS_MAX 64 /* given in one call */

struct cli;

/* An option of a verb: "--queue NAME", or a flag when arg is NULL. */
struct cli_option {
    const char *name; /* without the dashes */
    const char *arg;
    const char *help;
};

struct cli_verb {
    const char *noun;  /* "task" */
    const char *name;  /* "ls"; NULL when the noun says it all */
    const char *usage; /* its arguments */
    const char *help;
    const struct cli_option *options; /* up to the one without a name */
    int (*run)(struct cli *cli);
};

/* The rows of one file; they end with one that has no noun. */
extern const struct cli_verb cli_enqueue_verbs[];
extern const struct cli_verb cli_task_verbs[];
extern const struct cli_verb cli_move_verbs[];
extern const struct cli_verb cli_broker_verbs[];
extern const struct cli_verb cli_queue_verbs[];
extern const struct cli_verb cli_group_verbs[];
extern const struct cli_verb cli_server_verbs[];
extern const struct cli_verb cli_fsck_verbs[];
extern const struct cli_verb cli_order_verbs[];
extern const struct cli_verb cli_doctor_verbs[];
extern const struct cli_verb cli_dash_verbs[];
extern const struct cli_verb cli_update_verbs[];
extern const struct cli_verb cli_place_verbs[];
extern const struct cli_verb cli_cron_verbs[];
extern const struct cli_verb cli_help_verbs[];

struct cli_given {
    const char *name;
    const char *value; /* "" for a flag */
};

struct cli {
    const struct cli_verb *verb;
    struct cli_given options[CLI_OPTIONS_MAX];
    size_t option_count;
    char **args; /* what is no option */
    int arg_count;
    lunaq_client *client; /* open from the first cli_client() on */
    bool json;
    int failed; /* the exit code when the output cannot be written: CLI_FAILED,
                   unless the verb gives that another meaning */
};

/* ---- cli_args.c -----------------------------------------------------------
 */

/** Sorts argv (without program and verb) into options and arguments.  args
 *  has room for argc pointers.  Returns CLI_OK or CLI_USAGE, told. */
int cli_parse(struct cli *cli, int argc, char **argv, char **args);
/** The last value given for an option; NULL = not given. */
const char *cli_get(const struct cli *cli, const char *name);
/** An option's value as a number from min to max into *value, which stays when
 *  it is not given.  CLI_USAGE, told. */
int cli_get_int(const struct cli *cli, const char *name, int64_t min,
                int64_t max, int64_t *value);
/** The same for a duration: "90s", "5m". */
int cli_get_duration(const struct cli *cli, const char *name, int64_t *ms);
/** The same for a state's name. */
int cli_get_state(const struct cli *cli, const char *name, int64_t *state);
/** CLI_USAGE, told, unless there are min to max arguments. */
int cli_want_args(const struct cli *cli, int min, int max);
/** The word of a NULL-ended list that is nearest; NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *words);

/* ---- cli_out.c ------------------------------------------------------------
 */

/** Tells what went wrong on stderr, one line, beginning "lunaq: ".  Returns
 *  CLI_USAGE. */
__attribute__((format(printf, 1, 2))) int cli_misuse(const char *format, ...);
/** Tells an error and what to type next, by its code.  Returns CLI_FAILED, or
 *  CLI_USAGE for LUNAQ_EINVAL. */
int cli_fail(const lunaq_error *err);

/** Tells of a queue that a list had to leave out: "queue 'x': why". */
void cli_unread(const char *text);

/* A table: rows of text, aligned when it is printed.  Cells are copied, with
 * control characters replaced. */
struct cli_table;
/** titles: NULL-ended.  NULL when out of memory; the others then do nothing. */
struct cli_table *cli_table_new(const char *const *titles);
__attribute__((format(printf, 2, 3))) void
cli_table_cell(struct cli_table *t, const char *format, ...);
/** Prints and frees it; without rows it prints `empty` instead. */
int cli_table_print(struct cli_table *t, const char *empty);

/** What a terminal might take as a command becomes '?', so that a payload
 *  cannot play tricks on who looks at it.  In place; returns the new length. */
size_t cli_tame(char *p, size_t len);
/** Prints text with control characters and broken UTF-8 replaced. */
void cli_put_text(FILE *to, const char *p, size_t len);
/** "17s", "5m", "1h30m", into out. */
char *cli_duration(char *out, size_t size, int64_t ms);
/** "17 B", "1.5 MiB". */
char *cli_bytes(char *out, size_t size, int64_t bytes);
/** "in 17s", "5m ago", "now", or "-" for 0. */
char *cli_when(char *out, size_t size, int64_t at);
/** "2026-01-31T12:00:00Z", or "-" for 0. */
char *cli_instant(char *out, size_t size, int64_t at);
/** Reads "2026-01-31T12:00:00Z", "2026-01-31 12:00", with ±hh:mm, or Unix
 *  seconds; times without a zone are UTC.  False when it is none of these. */
bool cli_instant_parse(const char *text, int64_t *at);

/* ---- cli_where.c ----------------------------------------------------------
 */

/** The client, opened at the first call.  NULL: told. */
lunaq_client *cli_client(struct cli *cli);
/** cli_want_args() and the client. */
int cli_begin(struct cli *cli, int min, int max);
/** Writes the path of a sqlite: URL; false when it is another kind, or not
 *  plain. */
bool cli_queue_file(const char *url, char *path, size_t size);

/* ---- cli_json.c -----------------------------------------------------------
 */

struct cJSON;
/** Adds bytes as a string, or as `name`_base64 when they are not UTF-8. */
void cli_json_bytes(struct cJSON *object, const char *name, const void *p,
                    size_t len);
void cli_json_str(struct cJSON *object, const char *name, const char *value);
void cli_json_int(struct cJSON *object, const char *name, int64_t value);
/** Prints and frees it.  Returns CLI_OK or CLI_FAILED. */
int cli_json_print(struct cJSON *take_value);

/* ---- cli_canonical.c ------------------------------------------------------
 */

typedef struct lq_buf lq_buf;
/** Appends the JSON text as lunaq writes it: without space, members sorted,
 *  numbers as they are.  NULL, or what is wrong with it (static). */
const char *cli_json_canonical(lq_buf *out, const char *text, size_t len);

/* ---- cli_defaults.c -------------------------------------------------------
 */

/** What people write as 0, "none", as a task has it: -1. */
int64_t cli_or_none(int64_t n);
/* What was said of a task, though its value may be that of nothing. */
struct cli_said {
    bool max_retry, timeout, retention, unique;
};
/** Fills what was not said of a task with what its handler file says.  The task
 *  borrows from list, which may be NULL. */
void cli_defaults_fill(const lunaq_handler_list *list, lunaq_task *task,
                       const struct cli_said *said);
/** Fills what the command line left out of a task (type, queue …) with what its
 *  handler file says, as live daemons tell it.  The task borrows from *list,
 *  which the caller frees. */
void cli_defaults(struct cli *cli, lunaq_task *task, lunaq_handler_list **list);

/* ---- cli_enqueue.c --------------------------------------------------------
 */

/** The state in which an enqueued task is, in a word. */
const char *cli_enqueued_state(const lunaq_task *task, const lunaq_enqueued *e);

/* ---- cli_batch.c ----------------------------------------------------------
 */

/** Enqueues the tasks of a file, or of stdin when its name is "-": a JSON
 * object a line.  Prints a result for each; CLI_FAILED when one was refused. */
int cli_enqueue_batch(struct cli *cli, const char *name);

/* ---- cli_payload.c --------------------------------------------------------
 */

/** Appends the payload that --payload, or the arguments after the first as k=v
 *  and k:=json, say; nothing when there is neither.  CLI_USAGE or CLI_FAILED,
 *  told. */
int cli_payload(struct cli *cli, lq_buf *out);

/* ---- cli_task.c -----------------------------------------------------------
 */

/** LUNAQ_ENOTFOUND, with the known ones, when there is no such queue: then an
 *  empty list would mislead.  One that cannot be read is there. */
int cli_queue_known(struct cli *cli, const char *queue, lunaq_error *err);
/** Finds the one task that args[i] and --queue name.  The list is the
 *  caller's.  Not exactly one: told, and CLI_FAILED. */
int cli_find_one(struct cli *cli, const char *id, lunaq_task_list **list);
/** "attempt" as people count it: of n attempts, the one it is at. */
int64_t cli_attempt(const lunaq_task_info *t);

#endif
