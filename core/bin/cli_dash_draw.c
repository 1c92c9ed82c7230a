/* How the dashboard looks.  Everything is cut off at the screen's edges, so a
 * terminal may be as small as it likes. */
#include "cli_dash.h"

#include "base/clock.h"

#include <ncurses.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 2 /* lines above the view */
#define FOOT 1
#define NARROW 90 /* columns below which an id is its end */

/* How many bytes the first `width` characters have. */
static size_t cut(const char *text, size_t width)
{
    size_t n = 0;
    for (; text[n]; n++)
        if (((unsigned char)text[n] & 0xc0) != 0x80 && width-- == 0)
            break;
    return n;
}

/* Text at a place, at most `width` columns (-1: to the edge), made harmless. */
__attribute__((format(printf, 4, 5))) static void put(int y, int x, int width,
                                                      const char *format, ...)
{
    char text[1024];
    va_list ap;
    if (y < 0 || y >= LINES || x < 0 || x >= COLS)
        return;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    size_t len = n < 0                     ? 0
                 : (size_t)n < sizeof text ? (size_t)n
                                           : sizeof text - 1;
    text[cli_tame(text, len)] = '\0';
    if (width < 0 || width > COLS - x)
        width = COLS - x;
    mvaddnstr(y, x, text, (int)cut(text, (size_t)width));
}

/* ---- tables ----------------------------------------------------------------
 */

struct column {
    const char *title;
    int width; /* with the space behind it */
};

static void put_titles(int y, const struct column *columns, size_t count)
{
    int x = 0;
    attron(A_BOLD);
    for (size_t i = 0; i < count; x += columns[i++].width)
        put(y, x, columns[i].width, "%s", columns[i].title);
    attroff(A_BOLD);
}

/* The lines that a view's rows have. */
static int room(void)
{
    int lines = LINES - HEAD - FOOT - 1;
    return lines > 0 ? lines : 0;
}

/* Moves the first row so that the marked one is on the screen. */
static void scroll_to_row(struct dash *d)
{
    size_t lines = (size_t)room();
    if (d->row < d->top)
        d->top = d->row;
    if (lines > 0 && d->row >= d->top + lines)
        d->top = d->row - lines + 1;
}

/* Begins a row: marked when it is the one. */
static void begin_row(const struct dash *d, size_t i, int y)
{
    if (i == d->row)
        attron(A_REVERSE);
    mvhline(y, 0, ' ', COLS);
}

static void end_row(void)
{
    attroff(A_REVERSE);
}

/* ---- queues ----------------------------------------------------------------
 */

static void put_queue(const lunaq_queue_info *q, int y, const struct column *c)
{
    char text[60];
    const int64_t numbers[] = {
        q->pending,     q->active,          q->scheduled,
        q->retry,       q->archived,        q->completed,
        q->aggregating, q->processed_today, q->failed_today};
    int x = 0;
    put(y, x, c[0].width - 1, "%s", q->name);
    x += c[0].width;
    put(y, x, c[1].width - 1, "%s",
        q->error       ? "error"
        : q->paused_at ? "paused"
                       : "open");
    x += c[1].width;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        put(y, x, c[i + 2].width - 1, "%lld", (long long)numbers[i]);
        x += c[i + 2].width;
    }
    put(y, x, c[11].width - 1, "%s",
        q->latency_ms ? cli_duration(text, sizeof text, q->latency_ms) : "-");
    x += c[11].width;
    put(y, x, c[12].width - 1, "%s",
        cli_bytes(text, sizeof text, q->memory_bytes));
}

static void draw_queues(struct dash *d)
{
    static const struct column c[] = {
        {"QUEUE", 20},       {"STATE", 8}, {"PENDING", 9},   {"ACTIVE", 8},
        {"SCHEDULED", 11},   {"RETRY", 7}, {"ARCHIVED", 10}, {"COMPLETED", 11},
        {"AGGREGATING", 13}, {"TODAY", 8}, {"FAILED", 8},    {"LATENCY", 10},
        {"MEMORY", 10}};
    size_t count = lunaq_queue_list_count(d->queues);
    put_titles(HEAD, c, sizeof c / sizeof c[0]);
    if (count == 0)
        put(HEAD + 1, 0, -1, "no queues: nothing was enqueued yet");
    for (size_t i = d->top; i < count && (int)(i - d->top) < room(); i++) {
        int y = HEAD + 1 + (int)(i - d->top);
        begin_row(d, i, y);
        put_queue(lunaq_queue_list_at(d->queues, i), y, c);
        end_row();
    }
}

/* ---- servers ---------------------------------------------------------------
 */

static void put_server(const lunaq_server_info *s, int y)
{
    char up[60], queues[200] = "";
    int64_t age = lq_now_ms() - s->started_at;
    for (size_t i = 0; i < s->queue_count; i++) {
        size_t at = strlen(queues);
        snprintf(queues + at, sizeof queues - at, "%s%s %lld", i ? ", " : "",
                 s->queues[i].queue, (long long)s->queues[i].weight);
    }
    put(y, 0, 23, "%s", s->host);
    put(y, 24, 8, "%lld", (long long)s->pid);
    put(y, 33, 8, "%s", s->status);
    put(y, 42, 9, "%zu/%lld", s->worker_count, (long long)s->concurrency);
    put(y, 52, 11, "%s",
        cli_duration(up, sizeof up, (age > 0 ? age : 0) / 1000 * 1000));
    put(y, 64, 9, "%.8s", s->id + (strlen(s->id) > 8 ? strlen(s->id) - 8 : 0));
    put(y, 74, -1, "%s%s", queues, s->strict ? " (strict)" : "");
}

static void draw_servers(struct dash *d)
{
    static const struct column c[] = {{"HOST", 24},  {"PID", 9}, {"STATUS", 9},
                                      {"BUSY", 10},  {"UP", 12}, {"SERVER", 10},
                                      {"QUEUES", 20}};
    size_t count = lunaq_server_list_count(d->servers);
    put_titles(HEAD, c, sizeof c / sizeof c[0]);
    if (count == 0)
        put(HEAD + 1, 0, -1, "no servers: start one with 'lunaqd'");
    for (size_t i = d->top; i < count && (int)(i - d->top) < room(); i++) {
        int y = HEAD + 1 + (int)(i - d->top);
        begin_row(d, i, y);
        put_server(lunaq_server_list_at(d->servers, i), y);
        end_row();
    }
}

/* ---- tasks -----------------------------------------------------------------
 */

static int64_t count_of(const lunaq_queue_info *q, lunaq_state state)
{
    const int64_t counts[] = {[LUNAQ_STATE_ANY] = 0,
                              [LUNAQ_ACTIVE] = q->active,
                              [LUNAQ_PENDING] = q->pending,
                              [LUNAQ_SCHEDULED] = q->scheduled,
                              [LUNAQ_RETRY] = q->retry,
                              [LUNAQ_ARCHIVED] = q->archived,
                              [LUNAQ_COMPLETED] = q->completed,
                              [LUNAQ_AGGREGATING] = q->aggregating};
    return counts[state];
}

/* "active 2   pending 17   …", the chosen one marked. */
static void put_states(const struct dash *d, int y)
{
    const lunaq_queue_info *q = NULL;
    int x = 0, end = 0;
    char texts[LUNAQ_AGGREGATING + 1][40];
    for (size_t i = 0; i < lunaq_queue_list_count(d->queues); i++)
        if (strcmp(lunaq_queue_list_at(d->queues, i)->name, d->queue) == 0)
            q = lunaq_queue_list_at(d->queues, i);
    for (int s = LUNAQ_ACTIVE; s <= LUNAQ_AGGREGATING; s++) {
        int n = snprintf(texts[s], sizeof texts[s], " %s %lld ",
                         lunaq_state_name((lunaq_state)s),
                         q ? (long long)count_of(q, (lunaq_state)s) : 0LL);
        end += s <= (int)d->state ? n + 1 : 0;
    }
    /* On a narrow screen the first ones go, so that the chosen one is seen. */
    int s = LUNAQ_ACTIVE;
    for (; s < (int)d->state && end > COLS; s++)
        end -= (int)strlen(texts[s]) + 1;
    for (; s <= LUNAQ_AGGREGATING; s++) {
        if (s == (int)d->state)
            attron(A_REVERSE);
        put(y, x, -1, "%s", texts[s]);
        attroff(A_REVERSE);
        x += (int)strlen(texts[s]) + 1;
    }
}

static const char *when_of(const lunaq_task_info *t, char *out, size_t size)
{
    switch (t->state) {
    case LUNAQ_ACTIVE:
        return t->orphaned ? "orphaned" : cli_when(out, size, t->lease_at);
    case LUNAQ_PENDING:
        return cli_when(out, size, t->pending_at);
    default:
        return cli_when(out, size, t->next_at);
    }
}

static void draw_tasks(struct dash *d)
{
    static const struct column wide[] = {
        {"ID", 38}, {"TYPE", 24}, {"ATTEMPT", 9}, {"WHEN", 16}, {"ERROR", 20}};
    static const struct column narrow[] = {
        {"ID", 10}, {"TYPE", 17}, {"ATTEMPT", 8}, {"WHEN", 12}, {"ERROR", 20}};
    /* A task is found by the end of its id. */
    bool tail = COLS < NARROW;
    const struct column *c = tail ? narrow : wide;
    size_t count = lunaq_task_list_count(d->tasks);
    put_states(d, HEAD);
    put_titles(HEAD + 1, c, sizeof wide / sizeof wide[0]);
    if (d->tasks && count == 0)
        put(HEAD + 2, 0, -1, "no %s tasks", lunaq_state_name(d->state));
    for (size_t i = d->top; i < count && (int)(i - d->top) < room() - 1; i++) {
        const lunaq_task_info *t = lunaq_task_list_at(d->tasks, i);
        char when[60];
        int y = HEAD + 2 + (int)(i - d->top), x = c[0].width;
        size_t len = strlen(t->id);
        begin_row(d, i, y);
        put(y, 0, x - 1, "%s", t->id + (tail && len > 8 ? len - 8 : 0));
        put(y, x, c[1].width - 1, "%s", t->type);
        x += c[1].width;
        put(y, x, c[2].width - 1, "%lld/%lld", (long long)cli_attempt(t),
            (long long)t->max_retry + 1);
        x += c[2].width;
        put(y, x, c[3].width - 1, "%s", when_of(t, when, sizeof when));
        put(y, x + c[3].width, -1, "%.200s", t->error);
        end_row();
    }
}

/* ---- a task ----------------------------------------------------------------
 */

/* Lines of a task's page: those above `top` are passed over. */
struct page {
    size_t top, line;
};

__attribute__((format(printf, 3, 4))) static void
put_line(struct page *p, const char *name, const char *format, ...)
{
    char text[1000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (p->line >= p->top && (int)(p->line - p->top) <= room())
        put(HEAD + (int)(p->line - p->top), 0, -1, "%-12s %s", name, text);
    p->line++;
}

static void put_when(struct page *p, const char *name, int64_t at)
{
    char instant[40], when[60];
    if (at > 0)
        put_line(p, name, "%s (%s)", cli_instant(instant, sizeof instant, at),
                 cli_when(when, sizeof when, at));
}

/* Bytes as text, over as many lines as they take. */
static void put_bytes(struct page *p, const char *name, const char *bytes,
                      size_t len)
{
    size_t width = COLS > 20 ? (size_t)COLS - 14 : 6;
    width = width < 900 ? width : 900;
    for (size_t at = 0; at < len && p->line < 500; at += width)
        put_line(p, at ? "" : name, "%.*s",
                 (int)(len - at < width ? len - at : width), bytes + at);
}

static void put_task(struct page *p, const lunaq_task_info *t)
{
    put_bytes(p, "id", t->id, strlen(t->id));
    put_bytes(p, "type", t->type, strlen(t->type));
    put_bytes(p, "queue", t->queue, strlen(t->queue));
    put_line(p, "state", "%s%s", lunaq_state_name((lunaq_state)t->state),
             t->orphaned ? ", orphaned" : "");
    if (t->group[0])
        put_line(p, "group", "%s", t->group);
    put_line(p, "attempt", "%lld/%lld", (long long)cli_attempt(t),
             (long long)t->max_retry + 1);
    if (t->crashes)
        put_line(p, "crashes", "%lld", (long long)t->crashes);
    put_when(p, "pending", t->pending_at);
    put_when(p, "lease", t->lease_at);
    put_when(p, "next", t->next_at);
    put_when(p, "failed", t->last_failed_at);
    put_when(p, "completed", t->completed_at);
    put_when(p, "archived", t->archived_at);
    put_when(p, "deadline", t->deadline_at);
    if (t->unique_key[0])
        put_line(p, "unique", "%s", t->unique_key);
    if (t->cancel[0])
        put_line(p, "cancel", "%s", t->cancel);
    for (size_t i = 0; i < t->header_count; i++)
        put_line(p, "header", "%s=%s", t->headers[i].name, t->headers[i].value);
    put_bytes(p, "error", t->error, strlen(t->error));
    put_bytes(p, "payload", t->payload, t->payload_len);
    put_bytes(p, "result", t->result, t->result_len);
}

static void draw_task(struct dash *d)
{
    const lunaq_task_info *t = lunaq_task_list_at(d->tasks, 0);
    struct page p = {.top = SIZE_MAX}; /* how many lines there are */
    if (!t)
        return;
    put_task(&p, t);
    size_t most = p.line > (size_t)room() ? p.line - (size_t)room() : 0;
    d->top = d->top < most ? d->top : most;
    p = (struct page){.top = d->top};
    put_task(&p, t);
}

/* ---- the whole -------------------------------------------------------------
 */

static void draw_help(void)
{
    static const char *const lines[] = {
        "Up Down, k j     the row",
        "Enter            its tasks; all about a task",
        "Left Right, Tab  tasks in another state",
        "n p, PgDn PgUp   the next and the former page of tasks",
        "s                servers",
        "r                look again now",
        "q, Esc           back, and at last the end",
        "",
        "It only looks: see 'lunaq help' for what changes something."};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        put(HEAD + (int)i, 2, -1, "%s", lines[i]);
}

static void draw_head(const struct dash *d)
{
    int64_t busy = 0, slots = 0;
    char now[40];
    size_t servers = lunaq_server_list_count(d->servers);
    for (size_t i = 0; i < servers; i++) {
        const lunaq_server_info *s = lunaq_server_list_at(d->servers, i);
        busy += (int64_t)s->worker_count;
        slots += s->concurrency;
    }
    attron(A_BOLD);
    put(0, 0, -1, "lunaq %s", lunaq_version());
    attroff(A_BOLD);
    bool tasks = d->view == DASH_TASKS || d->view == DASH_TASK;
    put(0, 14, -1, "%s%s%s%s  %zu server%s, %lld of %lld slots busy",
        tasks                     ? "queue "
        : d->view == DASH_SERVERS ? "servers  "
                                  : "",
        tasks ? d->queue : "", tasks ? "  " : "",
        cli_instant(now, sizeof now, d->fetched_at), servers,
        servers == 1 ? "" : "s", (long long)busy, (long long)slots);
}

static void draw_foot(const struct dash *d)
{
    if (d->error.code)
        put(LINES - 1, 0, -1, "%s; trying again", d->error.message);
    else if (d->view == DASH_TASKS)
        put(LINES - 1, 0, -1,
            "page %lld   Enter task   Tab state   n p page   q back   ? help",
            (long long)d->page + 1);
    else
        put(LINES - 1, 0, -1, "%sq %s   ? help",
            d->view == DASH_QUEUES ? "Enter tasks   s servers   " : "",
            d->view == DASH_QUEUES ? "end" : "back");
}

void dash_draw(struct dash *d)
{
    erase();
    if (d->view != DASH_TASK)
        scroll_to_row(d);
    draw_head(d);
    switch (d->view) {
    case DASH_QUEUES:
        draw_queues(d);
        break;
    case DASH_SERVERS:
        draw_servers(d);
        break;
    case DASH_TASKS:
        draw_tasks(d);
        break;
    case DASH_TASK:
        draw_task(d);
        break;
    case DASH_HELP:
        draw_help();
        break;
    }
    draw_foot(d);
    refresh();
}
