/* Loads the configuration: flags are read first (they may name the file), then
 * the file, the variables and the flags are applied in this order. */
#include "bin/config_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LEN = 4096, NAME_LEN = 64 };

struct flag {
    const char *value; /* NULL: a boolean without a value, so true */
    size_t key;
    bool negated;
};

struct loading {
    config *c;
    const config_input *in;
    lunaq_error *err;
    struct flag *flags;
    size_t flag_count;
    const char *config_arg, *home_arg; /* from flags or variables */
    const char *cwd;
    const char *path; /* of the file; NULL = none */
    char cwd_text[PATH_LEN];
};

static int no_memory(struct loading *l)
{
    return config_fail(l->err, LUNAQ_ENOMEM, "out of memory");
}

/* ---- flags -------------------------------------------------------------- */

static const struct special {
    const char *name, *letter;
    config_action action; /* CONFIG_RUN: it has a value */
} specials[] = {
    {"--config", "-f", CONFIG_RUN},  {"--home", "-C", CONFIG_RUN},
    {"--check", NULL, CONFIG_CHECK}, {"--print-config", NULL, CONFIG_PRINT},
    {"--help", "-h", CONFIG_HELP},   {"--version", "-V", CONFIG_VERSION},
};
enum { SPECIAL_COUNT = sizeof(specials) / sizeof(specials[0]) };

static bool is_word(const char *text, size_t len, const char *word)
{
    return word && strlen(word) == len && strncmp(text, word, len) == 0;
}

/* The row of "--db-pool" (len bytes), or of "--no-watch" with *negated. */
static size_t key_of_flag(const char *text, size_t len, bool *negated)
{
    size_t i = 0;
    for (*negated = false; i < config_key_count; i++) {
        char name[NAME_LEN], no[NAME_LEN + 8];
        config_key_flag(&config_keys[i], name, sizeof(name));
        snprintf(no, sizeof(no), "--no-%s", name + 2);
        if (is_word(text, len, name))
            break;
        *negated = config_keys[i].kind == CONFIG_BOOL && is_word(text, len, no);
        if (*negated)
            break;
    }
    return i;
}

static int unknown_flag(struct loading *l, const char *text, size_t len)
{
    char word[NAME_LEN], names[CONFIG_KEY_MAX][NAME_LEN];
    const char *all[CONFIG_KEY_MAX + SPECIAL_COUNT];
    snprintf(word, sizeof(word), "%.*s", (int)len, text);
    if (text[0] != '-')
        return config_fail(l->err, LUNAQ_EINVAL,
                           "%s is not an option, and there are no arguments; "
                           "see lunaqd --help",
                           config_quote(word).text);
    for (size_t i = 0; i < config_key_count; i++) {
        config_key_flag(&config_keys[i], names[i], NAME_LEN);
        all[i] = names[i];
    }
    for (size_t i = 0; i < SPECIAL_COUNT; i++)
        all[config_key_count + i] = specials[i].name;
    const char *near =
        config_nearest(word, all, config_key_count + SPECIAL_COUNT);
    return config_fail(l->err, LUNAQ_EINVAL, "unknown option %s%s%s%s",
                       config_quote(word).text, near ? ": did you mean " : "",
                       near ? near : "", near ? "?" : "; see lunaqd --help");
}

/* The value of a flag: behind its '=', or the next argument. */
static const char *flag_value(struct loading *l, const char *arg, size_t len,
                              size_t *i)
{
    if (arg[len] == '=')
        return arg + len + 1;
    if (*i + 1 < l->in->arg_count)
        return l->in->args[++*i];
    config_fail(l->err, LUNAQ_EINVAL, "%.*s needs a value; see lunaqd --help",
                (int)len, arg);
    return NULL;
}

static int read_flag(struct loading *l, size_t *i)
{
    const char *arg = l->in->args[*i];
    size_t len = strcspn(arg, "=");
    for (size_t s = 0; s < SPECIAL_COUNT; s++) {
        const struct special *sp = &specials[s];
        if (!is_word(arg, len, sp->name) && !is_word(arg, len, sp->letter))
            continue;
        if (sp->action != CONFIG_RUN && arg[len])
            return config_fail(l->err, LUNAQ_EINVAL, "%s takes no value",
                               sp->name);
        if (sp->action > l->c->action) /* --help before --check */
            l->c->action = sp->action;
        if (sp->action != CONFIG_RUN)
            return LUNAQ_OK;
        const char *value = flag_value(l, arg, len, i);
        if (value)
            *(s == 0 ? &l->config_arg : &l->home_arg) = value;
        return value ? LUNAQ_OK : LUNAQ_EINVAL;
    }
    struct flag *f = &l->flags[l->flag_count];
    f->key = key_of_flag(arg, len, &f->negated);
    if (f->key == config_key_count)
        return unknown_flag(l, arg, len);
    if (f->negated && arg[len])
        return config_fail(l->err, LUNAQ_EINVAL, "%.*s takes no value",
                           (int)len, arg);
    f->value = NULL;
    if (config_keys[f->key].kind != CONFIG_BOOL)
        f->value = flag_value(l, arg, len, i);
    else if (arg[len])
        f->value = arg + len + 1;
    if (!f->value && config_keys[f->key].kind != CONFIG_BOOL)
        return LUNAQ_EINVAL;
    l->flag_count++;
    return LUNAQ_OK;
}

static int apply_flags(struct loading *l)
{
    for (size_t i = 0; i < l->flag_count; i++) {
        const struct flag *f = &l->flags[i];
        const config_key *k = &config_keys[f->key];
        char name[NAME_LEN];
        config_key_flag(k, name, sizeof(name));
        char *source = config_strdup(l->c, name);
        if (!source)
            return no_memory(l);
        config_from from = {.what = source,
                            .source = source,
                            .base = l->in->cwd, /* NULL: stays relative */
                            .code = LUNAQ_EINVAL};
        const char *value = f->value ? f->value : f->negated ? "false" : "true";
        int rc = config_set_text(l->c, k, value, &from, l->err);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

/* ---- home and file ------------------------------------------------------ */

static bool is_kind(const char *folder, const char *name, mode_t kind)
{
    char path[PATH_LEN];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s", folder, name);
    return n > 0 && n < PATH_LEN && stat(path, &st) == 0 &&
           (st.st_mode & S_IFMT) == kind;
}

/* Whatever it is: a link that leads nowhere is not to be taken for no file. */
static bool is_there(const char *folder, const char *name)
{
    char path[PATH_LEN];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s", folder, name);
    return n > 0 && n < PATH_LEN && lstat(path, &st) == 0;
}

static const char *file_in(const char *folder)
{
    if (is_there(folder, "lunaq.conf.lua"))
        return "lunaq.conf.lua";
    return is_there(folder, "lunaq.conf.json") ? "lunaq.conf.json" : NULL;
}

/* The nearest folder from cwd upwards that holds an application; else cwd. */
static void nearest_home(char *home, const char *cwd)
{
    snprintf(home, PATH_LEN, "%s", cwd);
    while (!file_in(home) && !is_kind(home, "handlers", S_IFDIR)) {
        char *slash = strrchr(home, '/');
        if (!slash || !home[1]) {
            snprintf(home, PATH_LEN, "%s", cwd);
            return;
        }
        slash[slash == home] = 0; /* "/" at the top */
    }
}

static char *absolute(struct loading *l, const char *path)
{
    char text[2 * PATH_LEN];
    bool is = path[0] == '/';
    snprintf(text, sizeof(text), "%s%s%s", is ? "" : l->cwd, is ? "" : "/",
             path);
    return config_strdup(l->c, text);
}

/* Sets home, and path and the file's shown name when there is a file. */
static int find_home(struct loading *l)
{
    char home[PATH_LEN];
    const char *file = NULL;
    if (!l->config_arg)
        l->config_arg = config_var(l->in->vars, "LUNAQ_CONFIG");
    const char *home_from = l->home_arg ? "--home" : "LUNAQ_HOME";
    int home_code = l->home_arg ? LUNAQ_EINVAL : LUNAQ_ECONFIG;
    if (!l->home_arg)
        l->home_arg = config_var(l->in->vars, "LUNAQ_HOME");
    if (l->home_arg) {
        snprintf(home, sizeof(home), "%s", l->home_arg);
        struct stat st;
        char *folder = absolute(l, home);
        if (!folder)
            return no_memory(l);
        if (stat(folder, &st) || !S_ISDIR(st.st_mode))
            return config_fail(l->err, home_code, "%s: %.150s is not a folder",
                               home_from, l->home_arg);
    } else if (l->config_arg) {
        const char *slash = strrchr(l->config_arg, '/');
        snprintf(home, sizeof(home), "%.*s",
                 slash ? (int)(slash - l->config_arg) + 1 : 1,
                 slash ? l->config_arg : ".");
    } else {
        nearest_home(home, l->cwd);
    }
    for (size_t n = strlen(home); n > 1 && home[n - 1] == '/';)
        home[--n] = 0;
    l->c->home = strcmp(home, ".") == 0 ? config_strdup(l->c, l->cwd)
                                        : absolute(l, home);
    if (!l->c->home)
        return no_memory(l);
    file = l->config_arg ? l->config_arg : file_in(l->c->home);
    if (!file)
        return LUNAQ_OK;
    bool here = l->config_arg || strcmp(l->c->home, l->cwd) == 0;
    char path[2 * PATH_LEN];
    snprintf(path, sizeof(path), "%s/%s", l->c->home, file);
    l->path = l->config_arg ? absolute(l, file) : config_strdup(l->c, path);
    l->c->file = here ? config_strdup(l->c, file) : l->path;
    if (!l->path || !l->c->file)
        return no_memory(l);
    /* Messages have 255 bytes: a deep folder must leave room for the rest. */
    size_t len = strlen(l->c->file);
    if (len > 80)
        l->c->file += len - 80;
    return LUNAQ_OK;
}

/* Paths of the file and of variables start at home.  They stay as they are
 * when that is where the process stands: shorter to read. */
static const char *base(const struct loading *l)
{
    return !l->in->cwd && strcmp(l->c->home, l->cwd) == 0 ? NULL : l->c->home;
}

/* ---- file --------------------------------------------------------------- */

static int unknown_key(struct loading *l, const char *name)
{
    const char *all[CONFIG_KEY_MAX], *dot = strchr(name, '.');
    if (dot && config_key_find(name) < config_key_count)
        return config_fail(l->err, LUNAQ_ECONFIG,
                           "%s: key %s: write it as %.*s = { %s = … }",
                           l->c->file, config_quote(name).text,
                           (int)(dot - name), name, dot + 1);
    for (size_t i = 0; i < config_key_count; i++)
        all[i] = config_keys[i].name;
    const char *near = config_nearest(name, all, config_key_count);
    return config_fail(l->err, LUNAQ_ECONFIG, "%s: unknown key %s%s%s%s",
                       l->c->file, config_quote(name).text,
                       near ? ": did you mean \"" : "", near ? near : "",
                       near ? "\"?" : "; known keys: see lunaq.conf(5)");
}

/* True when some key is "<name>.…". */
static bool is_group(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < config_key_count; i++)
        if (strncmp(config_keys[i].name, name, len) == 0 &&
            config_keys[i].name[len] == '.')
            return true;
    return false;
}

static int apply_table(struct loading *l, const cJSON *table, const char *group)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, table)
    {
        char name[2 * NAME_LEN];
        int rc = LUNAQ_OK;
        snprintf(name, sizeof(name), "%s%s%.63s", group, *group ? "." : "",
                 v->string);
        config_from from = {l->c->file, name, l->c->file, base(l),
                            LUNAQ_ECONFIG};
        size_t i = config_key_find(name);
        if (i < config_key_count && (!strchr(v->string, '.')))
            rc = config_set(l->c, &config_keys[i], v, &from, l->err);
        else if (*group || !is_group(name))
            rc = unknown_key(l, name);
        else if (!cJSON_IsObject(v))
            rc = config_expected(&from, "a table", v, false, l->err);
        else
            rc = apply_table(l, v, name);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

static int apply_file(struct loading *l)
{
    cJSON *tree = NULL;
    int rc = LUNAQ_OK;
    if (!l->path)
        goto out;
    rc = config_read_file(&tree, l->path, l->c->file, l->in->vars, l->err);
    if (rc)
        goto out;
    if (!cJSON_IsObject(tree))
        rc = config_fail(l->err, LUNAQ_ECONFIG,
                         "%s: must be a table of keys, not a list or a value",
                         l->c->file);
    else
        rc = apply_table(l, tree, "");
out:
    cJSON_Delete(tree);
    return rc;
}

/* ---- variables ---------------------------------------------------------- */

/* What a file may hold that the variable NAME_FILE names. */
static bool is_secret(const config_key *k)
{
    return k->kind == CONFIG_URL || k->kind == CONFIG_SECRET;
}

/* Sets a secret from the file that the variable NAME_FILE names. */
static int apply_secret(struct loading *l, const config_key *k,
                        const char *path, const config_from *from)
{
    char shown[NAME_LEN + 96], *text = NULL;
    size_t len = 0;
    snprintf(shown, sizeof(shown), "%s: %.90s", from->what, path);
    int rc = config_read_text(&text, &len, path, shown, l->err);
    if (rc)
        return rc;
    text[strcspn(text, "\r\n")] = 0;
    if (*text)
        rc = config_set_text(l->c, k, text, from, l->err);
    else
        rc = config_fail(l->err, LUNAQ_ECONFIG,
                         "%s: its first line is empty; a value is expected",
                         shown);
    free(text);
    return rc;
}

static int apply_variable(struct loading *l, const config_key *k, bool *done,
                          const char *name)
{
    char file[NAME_LEN + 8];
    snprintf(file, sizeof(file), "%s_FILE", name);
    const char *value = config_var(l->in->vars, name);
    const char *path = is_secret(k) ? config_var(l->in->vars, file) : NULL;
    if (!value && !path)
        return LUNAQ_OK;
    char *source = config_strdup(l->c, value ? name : file);
    if (!source)
        return no_memory(l);
    *done = true;
    config_from from = {NULL, source, source, base(l), LUNAQ_ECONFIG};
    return value ? config_set_text(l->c, k, value, &from, l->err)
                 : apply_secret(l, k, path, &from);
}

static int apply_variables(struct loading *l)
{
    for (size_t i = 0; i < config_key_count; i++) {
        char name[NAME_LEN];
        bool done = false;
        config_key_variable(&config_keys[i], name, sizeof(name));
        int rc = apply_variable(l, &config_keys[i], &done, name);
        for (size_t j = 0; !rc && !done && j < 2 && config_keys[i].also[j]; j++)
            rc = apply_variable(l, &config_keys[i], &done,
                                config_keys[i].also[j]);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

static int warn(struct loading *l, const char *text)
{
    config *c = l->c;
    const char **all = config_alloc(c, (c->warning_count + 1) * sizeof(*all));
    char *copy = config_strdup(c, text);
    if (!all || !copy)
        return no_memory(l);
    if (c->warning_count)
        memcpy(all, c->warnings, c->warning_count * sizeof(*all));
    all[c->warning_count++] = copy;
    c->warnings = all;
    return LUNAQ_OK;
}

/* What Kubernetes sets for a service that is called "lunaq" or "lunaq-x". */
static bool is_service(const char *name)
{
    size_t len = strlen(name);
    return strstr(name, "_SERVICE_") || strstr(name, "_PORT_") ||
           (len > 5 && strcmp(name + len - 5, "_PORT") == 0);
}

static int warn_of_variables(struct loading *l)
{
    char names[CONFIG_KEY_MAX + 2][NAME_LEN] = {"LUNAQ_CONFIG", "LUNAQ_HOME"};
    const char *all[CONFIG_KEY_MAX + 2];
    size_t count = config_key_count + 2;
    for (size_t i = 0; i < count; i++) {
        if (i >= 2)
            config_key_variable(&config_keys[i - 2], names[i], NAME_LEN);
        all[i] = names[i];
    }
    for (const char *const *v = l->in->vars; v && *v; v++) {
        char name[NAME_LEN], text[256], file[NAME_LEN + 8];
        size_t len = strcspn(*v, "=");
        if (strncmp(*v, "LUNAQ_", 6) != 0 || len >= sizeof(name))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)len, *v);
        bool known = is_service(name);
        for (size_t i = 0; !known && i < count; i++) {
            snprintf(file, sizeof(file), "%s_FILE", names[i]);
            known = strcmp(name, names[i]) == 0 ||
                    (i >= 2 && is_secret(&config_keys[i - 2]) &&
                     strcmp(name, file) == 0);
        }
        if (known)
            continue;
        const char *near = config_nearest(name, all, count);
        snprintf(text, sizeof(text),
                 "%s in the environment is not a setting%s%s%s",
                 config_quote(name).text, near ? ": did you mean " : "",
                 near ? near : "", near ? "?" : "; it is ignored");
        int rc = warn(l, text);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

/* ---- all ---------------------------------------------------------------- */

/* Fills in the defaults that are not zero in the options. */
static int finish(struct loading *l)
{
    config *c = l->c;
    lunaq_server_options *o = &c->options;
    char path[PATH_LEN + 16];
    if (!o->broker || !*o->broker)
        o->broker =
            config_sqlite_url(c, base(l), CONFIG_DATA "/queue.db", true);
    if (!o->database)
        o->database =
            config_sqlite_url(c, base(l), CONFIG_DATA "/app.db", false);
    if (!o->broker || !o->database)
        return no_memory(l);
    if (!*o->database || strcmp(o->database, "none") == 0)
        o->database = NULL;
    snprintf(path, sizeof(path), "%s%shandlers", base(l) ? base(l) : "",
             base(l) ? "/" : "");
    if (!o->handlers && !(o->handlers = config_strdup(c, path)))
        return no_memory(l);
    if (!*o->handlers)
        return config_fail(l->err,
                           c->source[config_key_find("handlers")][0] == '-'
                               ? LUNAQ_EINVAL
                               : LUNAQ_ECONFIG,
                           "%s: handlers: the folder's name is empty",
                           c->source[config_key_find("handlers")]);
    if (o->migrations && !*o->migrations) {
        o->migrations = NULL;
    } else if (!o->migrations && is_kind(c->home, "migrations", S_IFDIR)) {
        snprintf(path, sizeof(path), "%s%smigrations", base(l) ? base(l) : "",
                 base(l) ? "/" : "");
        if (!o->database)
            return warn(l, "there is a folder migrations, but the database "
                           "is \"none\": they are not applied");
        if (!(o->migrations = config_strdup(c, path)))
            return no_memory(l);
    }
    if (o->database && strstr(o->database, "://") &&
        strncmp(o->database, "postgres://", 11) != 0 &&
        strncmp(o->database, "postgresql://", 13) != 0 &&
        strncmp(o->database, "sqlite:", 7) != 0) {
        const char *source = c->source[config_key_find("database")];
        return config_fail(
            l->err, source[0] == '-' ? LUNAQ_EINVAL : LUNAQ_ECONFIG,
            "%s: database: only postgres://… and sqlite:… are supported, got "
            "%.*s://…",
            source, (int)(strstr(o->database, "://") - o->database),
            o->database);
    }
    return LUNAQ_OK;
}

int config_load(config **out, const config_input *input, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    struct loading l = {.in = input, .err = err, .cwd = input->cwd};
    l.c = calloc(1, sizeof(*l.c));
    l.flags = calloc(input->arg_count + 1, sizeof(*l.flags));
    if (!l.c || !l.flags) {
        rc = no_memory(&l);
        goto out;
    }
    l.c->options = (lunaq_server_options)LUNAQ_SERVER_OPTIONS_INIT;
    l.c->redis = (lunaq_redis_options)LUNAQ_REDIS_OPTIONS_INIT;
    l.c->options.redis = &l.c->redis;
    l.c->options.interrupt = LUNAQ_INTERRUPT_SIGNAL;
    if (!l.cwd)
        l.cwd = getcwd(l.cwd_text, sizeof(l.cwd_text));
    if (!l.cwd) {
        rc = config_fail(err, LUNAQ_EIO, "the current folder: %s",
                         strerror(errno));
        goto out;
    }
    for (size_t i = 0; rc == LUNAQ_OK && i < input->arg_count; i++)
        rc = read_flag(&l, &i);
    if (rc || l.c->action >= CONFIG_HELP)
        goto out;
    if ((rc = find_home(&l)) || (rc = apply_file(&l)) ||
        (rc = apply_variables(&l)) || (rc = warn_of_variables(&l)) ||
        (rc = apply_flags(&l)) || (rc = finish(&l)))
        goto out;
out:
    free(l.flags);
    if (rc == LUNAQ_OK) {
        *out = l.c;
        l.c = NULL;
    }
    config_free(l.c);
    return rc;
}

const char *config_who_said(const config *c, const char *message)
{
    static const char *const begins[][2] = {
        {"broker URL", "broker"}, {"redis: TLS", "broker"},
        {"sqlite: ", "broker"},   {"prefix", "prefix"},
        {"cron entry", "cron"},   {"timezone", "timezone"},
        {"durable", "durable"}};
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (strncmp(message, begins[i][0], strlen(begins[i][0])) == 0)
            return c->source[config_key_find(begins[i][1])];
    return NULL;
}
