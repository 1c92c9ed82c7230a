/* What people read: errors with a way on, tables, times. */
#include "cli.h"

#include "base/clock.h"
#include "base/str.h"
#include "task/duration.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- errors ----------------------------------------------------------------
 */

int cli_misuse(const char *format, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    fflush(stdout);
    fputs("lunaq: ", stderr);
    cli_put_text(stderr, line, strlen(line));
    fputc('\n', stderr);
    return CLI_USAGE;
}

#define RIGHTS                                                                 \
    "give this user more rights: 'lunaq doctor' says which are missing"

static bool has(const lunaq_error *err, const char *word)
{
    return strstr(err->message, word) != NULL;
}

/* What to type next, by what went wrong. */
static const char *hint(const lunaq_error *err)
{
    bool file = has(err, "sqlite: ");
    switch (err->code) {
    case LUNAQ_EBROKER:
        if (file)
            return "try it again";
        if (has(err, "READONLY"))
            return "name the master with --broker URL";
        if (has(err, "running?"))
            return "start it, or name another with --broker URL";
        return "correct --broker URL, or what it was taken from";
    case LUNAQ_ETIMEOUT:
    case LUNAQ_EFULL:
        if (file)
            return "try it again then";
        return "try 'redis-cli info' to see how it is";
    case LUNAQ_EUNKNOWN:
        if (has(err, "READONLY"))
            return "name the master with --broker URL";
        return "see whether it was done before you repeat it; an enqueue is "
               "repeated with the same --task-id";
    case LUNAQ_ECONFIG: /* most say themselves what to write */
        if (has(err, "TLS") || has(err, "durable") || has(err, "URL") ||
            has(err, "cluster"))
            return "";
        return "give --broker redis://host:6379 or --broker sqlite:FILE";
    case LUNAQ_ENOTFOUND:
        if (has(err, "lunaqd"))
            return "";
        if (has(err, "server"))
            return "try 'lunaq server ls'";
        return "try 'lunaq queue ls' and 'lunaq task ls'";
    case LUNAQ_EAMBIGUOUS: /* says what to give */
        return "";
    case LUNAQ_EEXIST:
        return "try 'lunaq task show' with its id";
    case LUNAQ_EDUPLICATE:
        return "try 'lunaq task ls --queue NAME' to see it";
    case LUNAQ_ESTATE:
        if (has(err, "Cluster") || has(err, "cannot") || has(err, "move:"))
            return "";
        if (has(err, "server"))
            return "try 'lunaq server ls'";
        return "try 'lunaq task ls' or 'lunaq queue ls' to see the state";
    case LUNAQ_EINVAL:
        return "try 'lunaq help'";
    case LUNAQ_EREPLY:
        if (file)
            return "look at the file with 'sqlite3'";
        if (has(err, "NOPERM"))
            return RIGHTS;
        return "try 'lunaq doctor' and 'lunaq fsck'";
    default:
        return "try it again";
    }
}

int cli_fail(const lunaq_error *err)
{
    const char *text =
        err->message[0] ? err->message : lunaq_strerror(err->code);
    bool asks = text[strlen(text) - 1] == '?';
    const char *next = hint(err);
    cli_misuse("%s%s%s%s", text, asks || !*next ? "" : ";", *next ? " " : "",
               next);
    return err->code == LUNAQ_EINVAL ? CLI_USAGE : CLI_FAILED;
}

void cli_unread(const char *text)
{
    cli_misuse("%s; %s", text,
               strstr(text, "NOPERM") ? RIGHTS : "try 'lunaq fsck'");
}

/* ---- text ------------------------------------------------------------------
 */

size_t cli_tame(char *p, size_t len)
{
    len = lq_utf8_clean(lq_str_n(p, len), p, len);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == 0xc2 && i + 1 < len && (unsigned char)p[i + 1] < 0xa0)
            p[i] = p[i + 1] = '?'; /* C1 */
        else if (c == '\n' || c == '\t')
            p[i] = ' ';
        else if (c < 0x20 || c == 0x7f)
            p[i] = '?';
    }
    return len;
}

void cli_put_text(FILE *to, const char *p, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        return;
    if (len)
        memcpy(copy, p, len);
    len = cli_tame(copy, len);
    fwrite(copy, 1, len, to);
    free(copy);
}

/* ---- tables ----------------------------------------------------------------
 */

#define COLUMNS_MAX 12
#define CELL_MAX 400

struct cli_table {
    size_t columns;
    size_t width[COLUMNS_MAX];
    char **cells; /* row by row; the titles are the first */
    size_t count, room;
};

static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void cli_table_cell(struct cli_table *t, const char *format, ...)
{
    if (!t)
        return;
    char text[CELL_MAX];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len >= sizeof text)
        len = sizeof text - 1;
    text[cli_tame(text, len)] = '\0';
    if (t->count == t->room) {
        size_t room = 2 * t->room + 64;
        char **cells = realloc(t->cells, room * sizeof *cells);
        if (!cells)
            return;
        t->cells = cells;
        t->room = room;
    }
    char *cell = strdup(text[0] ? text : "-");
    if (!cell)
        return;
    size_t *width = &t->width[t->count % t->columns];
    if (width_of(cell) > *width)
        *width = width_of(cell);
    t->cells[t->count++] = cell;
}

struct cli_table *cli_table_new(const char *const *titles)
{
    struct cli_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    while (t->columns < COLUMNS_MAX && titles[t->columns])
        t->columns++;
    for (size_t i = 0; i < t->columns; i++)
        cli_table_cell(t, "%s", titles[i]);
    return t;
}

int cli_table_print(struct cli_table *t, const char *empty)
{
    if (!t)
        return cli_misuse("out of memory"), CLI_FAILED;
    if (t->count <= t->columns)
        printf("%s\n", empty);
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        if (t->count > t->columns) {
            fputs(t->cells[i], stdout);
            for (size_t w = width_of(t->cells[i]);
                 !last && w < t->width[column] + 2; w++)
                putchar(' ');
            if (last)
                putchar('\n');
        }
        free(t->cells[i]);
    }
    free(t->cells);
    free(t);
    return CLI_OK;
}

/* ---- times -----------------------------------------------------------------
 */

char *cli_duration(char *out, size_t size, int64_t ms)
{
    lq_buf b;
    lq_buf_init(&b, 64);
    lq_duration_text(&b, (double)ms);
    snprintf(out, size, "%s", b.p ? b.p : "");
    lq_buf_release(&b);
    return out;
}

char *cli_bytes(char *out, size_t size, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    size_t unit = 0;
    while (n >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        n /= 1024;
        unit++;
    }
    snprintf(out, size, n < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", n,
             units[unit]);
    return out;
}

char *cli_when(char *out, size_t size, int64_t at)
{
    if (at <= 0) {
        snprintf(out, size, "-");
        return out;
    }
    int64_t left = at - lq_now_ms();
    char text[40];
    /* Scores are whole seconds: less would be a lie. */
    int64_t whole = ((left < 0 ? -left : left) + 500) / 1000 * 1000;
    cli_duration(text, sizeof text, whole);
    snprintf(out, size,
             whole == 0 ? "now"
             : left < 0 ? "%s ago"
                        : "in %s",
             text);
    return out;
}

char *cli_instant(char *out, size_t size, int64_t at)
{
    time_t s = (time_t)(at / 1000);
    struct tm tm;
    if (at <= 0 || !gmtime_r(&s, &tm))
        snprintf(out, size, "-");
    else if (strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
    return out;
}

/* "hh:mm" at p; false when it is not. */
static bool offset_parse(const char *p, int64_t *seconds)
{
    for (int i = 0; i < 5; i++)
        if (i == 2 ? p[i] != ':' : p[i] < '0' || p[i] > '9')
            return false;
    int hours = (p[0] - '0') * 10 + p[1] - '0';
    int minutes = (p[3] - '0') * 10 + p[4] - '0';
    *seconds = hours * INT64_C(3600) + minutes * INT64_C(60);
    return hours <= 14 && minutes <= 59;
}

bool cli_instant_parse(const char *text, int64_t *at)
{
    int64_t unix_s = 0;
    if (lq_str_int64(lq_str_c(text), &unix_s)) {
        *at = unix_s * 1000;
        return unix_s > 0 && unix_s < INT64_C(100000000000);
    }
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M", &tm);
    if (!rest)
        rest = strptime(text, "%Y-%m-%d %H:%M", &tm);
    if (!rest)
        return false;
    if (*rest == ':') {
        rest = strptime(rest, ":%S", &tm);
        if (!rest)
            return false;
    }
    int64_t offset = 0;
    if (*rest == 'Z' || *rest == 'z') {
        rest++;
    } else if (*rest == '+' || *rest == '-') {
        if (!offset_parse(rest + 1, &offset))
            return false;
        offset = *rest == '-' ? -offset : offset;
        rest += 6;
    }
    if (*rest)
        return false;
    int month = tm.tm_mon, day = tm.tm_mday; /* February 30th would move */
    *at = ((int64_t)timegm(&tm) - offset) * 1000;
    return *at > 0 && tm.tm_mon == month && tm.tm_mday == day;
}
