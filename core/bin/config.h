/* Configuration of the programs: defaults < lunaq.conf.lua < environment <
 * flags, checked and turned into lunaq_server_options.
 *
 * Every setting is one row of config_keys: its name in the file, from which
 * its variable (db.pool → LUNAQ_DB_POOL) and its flag (--db-pool) follow, its
 * kind and range, where it goes in the options, and its help line.  To add a
 * setting, add a row and a paragraph in lunaq.conf.5; a test compares them.
 */
#ifndef LUNAQ_CONFIG_H
#define LUNAQ_CONFIG_H

#include <stdbool.h>
#include <stdio.h>
#include <lunaq/server.h>

typedef enum config_kind {
    CONFIG_URL,    /* text that may hold a password: never printed whole */
    CONFIG_PATH,   /* relative to the home; flags: to the current folder */
    CONFIG_TEXT,   /* as it is */
    CONFIG_SECRET, /* the same, and never printed */
    CONFIG_INT,    /* min … max */
    CONFIG_BOOL,
    CONFIG_DURATION, /* "90s", "5m", seconds; min … max in ms */
    CONFIG_CHOICE,   /* one of `choices`; the first has the value min */
    CONFIG_QUEUES,   /* name → weight */
    CONFIG_NAMES,    /* a list of names */
    CONFIG_CRON      /* a list of periodic tasks; in the file only */
} config_kind;

/* How a value's special cases are written into the options. */
enum {
    CONFIG_ZERO_IS_NONE = 1, /* 0 is stored as -1: 0 there is the default */
    CONFIG_INVERTED = 2      /* true is stored as 0 */
};

typedef struct config_key {
    const char *name; /* "db.pool" */
    config_kind kind;
    int how;
    size_t offset; /* in config */
    int64_t min, max;
    const char *choices;     /* "auto text json" */
    const char *fallback;    /* the default, for people */
    const char *also[2];     /* other variables, the first goes before */
    const char *placeholder; /* in --help */
    const char *help;
} config_key;

#define CONFIG_KEY_MAX 48
/* The folder in the home where the default broker and database are. */
#define CONFIG_DATA ".lunaq"
extern const config_key config_keys[];
extern const size_t config_key_count;

/* What the command line asks for. */
typedef enum config_action {
    CONFIG_RUN,
    CONFIG_CHECK,
    CONFIG_PRINT,
    CONFIG_HELP,
    CONFIG_VERSION
} config_action;

/** A loaded configuration.  All strings belong to it. */
typedef struct config {
    lunaq_server_options options;
    lunaq_redis_options redis; /* options.redis */
    config_action action;
    const char *home; /* absolute */
    const char *file; /* as people would name it; NULL = there is none */
    /* Who set a key: a variable, a flag, the file; NULL = the default. */
    const char *source[CONFIG_KEY_MAX];
    const char **warnings;
    size_t warning_count;
    struct config_block *blocks; /* every allocation, freed together */
} config;

typedef struct config_input {
    const char *cwd;         /* absolute; NULL = the current folder */
    const char *const *vars; /* "NAME=value", NULL-ended; NULL = none */
    const char *const *args; /* flags without the program's name */
    size_t arg_count;
} config_input;

/** Reads and checks everything.  LUNAQ_EINVAL: a flag is wrong (usage);
 *  LUNAQ_ECONFIG: the file or a variable is, the message names which, the key
 *  and what is expected; LUNAQ_EIO, LUNAQ_ENOMEM.  *out is set on success
 *  only.  Not thread-safe against changes of input->vars. */
int config_load(config **out, const config_input *input, lunaq_error *err);
void config_free(config *c); /* NULL is fine */

/** Index of a row by name; config_key_count when there is none. */
size_t config_key_find(const char *name);
/** Who said what the library does not like and tells in message: the file, a
 *  variable or a flag; NULL = nobody, or it is not known. */
const char *config_who_said(const config *c, const char *message);
/** Writes "LUNAQ_DB_POOL" or "--db-pool" for a row; always NUL-terminated. */
void config_key_variable(const config_key *key, char *out, size_t size);
void config_key_flag(const config_key *key, char *out, size_t size);

/** Writes a URL as it may be shown: scheme, user, host, port, path; a password
 *  or query never.  Always NUL-terminated. */
void config_show_url(const char *url, char *out, size_t size);
/** Prints the configuration as a lunaq.conf.lua, secrets masked, each line
 *  with its source. */
void config_print(const config *c, FILE *out);
void config_help(FILE *out);

#endif
