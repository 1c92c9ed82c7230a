/* Inside the configuration: memory, failing, and setting one key.  Values are
 * cJSON trees, whatever they were read from. */
#ifndef LUNAQ_CONFIG_VALUE_H
#define LUNAQ_CONFIG_VALUE_H

#include "bin/config.h"
#include <cjson/cJSON.h>

/** Memory that lives as long as the configuration, zeroed; NULL when there is
 *  none. */
void *config_alloc(config *c, size_t len);
char *config_strdup(config *c, const char *text);

__attribute__((format(printf, 3, 4))) int
config_fail(lunaq_error *err, int code, const char *format, ...);

/** Up to 40 bytes of text in quotes, control characters as '?'. */
typedef struct config_quoted {
    char text[48];
} config_quoted;
config_quoted config_quote(const char *text);

/** The name that is nearest to a misspelt one, or NULL when none is near. */
const char *config_nearest(const char *word, const char *const *names,
                           size_t count);

/* config_url.c */

/** "sqlite:<base>/<path>"; base NULL: relative.  escape: a '%' or '?' in base
 *  is written as a broker's URL needs it.  NULL: no memory. */
char *config_sqlite_url(config *c, const char *base, const char *path,
                        bool escape);
/** The URL with relative files starting from base, which may be NULL: a queue
 *  or database file, and ca=, cert= and key= of a broker.  NULL: no memory. */
char *config_url_from(config *c, const char *base, const char *url,
                      bool broker);

/** A value and where it stands, for messages: "lunaq.conf.lua: lease". */
typedef struct config_from {
    const char *where;  /* "lunaq.conf.lua", or NULL for variables and flags */
    const char *what;   /* the key, the variable or the flag */
    const char *source; /* for config.source; lives as long as the config */
    const char *base;   /* what relative paths start from */
    int code;           /* LUNAQ_ECONFIG, or LUNAQ_EINVAL for flags */
} config_from;

/** Checks a value and stores it. */
int config_set(config *c, const config_key *key, const cJSON *value,
               const config_from *from, lunaq_error *err);
/** The same from text, as variables and flags have it. */
int config_set_text(config *c, const config_key *key, const char *text,
                    const config_from *from, lunaq_error *err);
/** Fails with "where: what: expected …". */
int config_expected(const config_from *from, const char *expected,
                    const cJSON *got, bool secret, lunaq_error *err);

/** "90s", "1h30m", "1.5h", "250ms" or seconds → ms; false for anything else. */
bool config_duration(const char *text, int64_t *ms);

/** config_cron.c: the list of periodic tasks. */
int config_set_cron(config *c, const cJSON *value, const config_from *from,
                    lunaq_error *err);

/** config_queues.c: the queues, with all that is said of them; and one of them
 *  printed as it stands in the file. */
int config_set_queues(config *c, const config_key *key, const cJSON *value,
                      const config_from *from, lunaq_error *err);
void config_print_queue(const config *c, size_t queue, FILE *out);

/** config_file.c: reads a .lua or .json file into a tree that the caller
 *  frees with cJSON_Delete().  `shown` is its name in messages; vars is what
 *  env() reads. */
int config_read_file(cJSON **out, const char *path, const char *shown,
                     const char *const *vars, lunaq_error *err);
/** The bytes of a file of at most 1 MiB, NUL-terminated, for the caller to
 *  free(). */
int config_read_text(char **text, size_t *len, const char *path,
                     const char *shown, lunaq_error *err);
/** The value of a variable; NULL when it is not set or empty. */
const char *config_var(const char *const *vars, const char *name);

#endif
