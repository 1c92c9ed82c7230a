/* lunaq dash: queues, servers and tasks on a terminal, kept up to date.
 *
 * It only looks.  What it shows is fetched by the same calls as the listings;
 * when the broker is away, the last picture stays and the status line says so.
 */
#include "cli_dash.h"

#include "base/clock.h"
#include "base/error.h"

#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFRESH_DEFAULT_MS 2000
#define KEY_CTRL_C 3
#define KEY_ESC 27

static const struct cli_option dash_options[] = {
    {"refresh", "TIME", "how often to look again; default 2s, at least 1s"},
    {NULL, NULL, NULL}};

/* ---- what is shown ---------------------------------------------------------
 */

static void fetch_overview(struct dash *d)
{
    lunaq_queue_list *queues = NULL;
    lunaq_server_list *servers = NULL;
    if (lunaq_queue_list_open(d->client, NULL, &queues, &d->error) ||
        lunaq_server_list_open(d->client, &servers, &d->error)) {
        lunaq_queue_list_free(queues);
        return;
    }
    lunaq_queue_list_free(d->queues);
    lunaq_server_list_free(d->servers);
    d->queues = queues;
    d->servers = servers;
}

static void fetch_tasks(struct dash *d)
{
    lunaq_task_list *tasks = NULL;
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    q.queue = d->queue;
    q.state = d->state;
    q.page = d->page;
    q.page_size = DASH_PAGE;
    int rc =
        d->view == DASH_TASK
            ? lunaq_task_find(d->client, d->queue, d->id, &tasks, &d->error)
            : lunaq_task_list_open(d->client, &q, &tasks, &d->error);
    /* Of a task that is gone, the id may be a part of another's. */
    if (!rc && d->view == DASH_TASK &&
        strcmp(lunaq_task_list_at(tasks, 0)->id, d->id) != 0) {
        lunaq_task_list_free(tasks);
        rc = lq_fail(&d->error, LUNAQ_ENOTFOUND, "task %s is gone", d->id);
    }
    if (rc)
        return;
    lunaq_task_list_free(d->tasks);
    d->tasks = tasks;
}

static void fetch(struct dash *d)
{
    d->error = (lunaq_error)LUNAQ_ERROR_INIT;
    fetch_overview(d);
    if (!d->error.code && (d->view == DASH_TASKS || d->view == DASH_TASK))
        fetch_tasks(d);
    if (!d->error.code)
        d->fetched_at = lq_now_ms();
}

size_t dash_rows(const struct dash *d)
{
    switch (d->view) {
    case DASH_QUEUES:
        return lunaq_queue_list_count(d->queues);
    case DASH_SERVERS:
        return lunaq_server_list_count(d->servers);
    case DASH_TASKS:
        return lunaq_task_list_count(d->tasks);
    case DASH_TASK:
    case DASH_HELP:
        break;
    }
    return 0;
}

/* ---- keys ------------------------------------------------------------------
 */

static void go(struct dash *d, enum dash_view view)
{
    /* What was fetched for another view, page or state is not this one's. */
    lunaq_task_list_free(d->tasks);
    d->tasks = NULL;
    d->view = view;
    d->row = d->top = 0;
    fetch(d);
}

static void turn(struct dash *d, int64_t pages)
{
    if (d->view != DASH_TASKS || d->page + pages < 0 ||
        (pages > 0 && dash_rows(d) < DASH_PAGE))
        return;
    d->page += pages;
    go(d, DASH_TASKS);
}

static void change_state(struct dash *d, int step)
{
    int state = (int)d->state - 1 + step;
    if (d->view != DASH_TASKS)
        return;
    d->state =
        (lunaq_state)((state + LUNAQ_AGGREGATING) % LUNAQ_AGGREGATING + 1);
    d->page = 0;
    go(d, DASH_TASKS);
}

/* The state of a queue that is looked at first. */
static lunaq_state liveliest(const lunaq_queue_info *q)
{
    return q->active        ? LUNAQ_ACTIVE
           : q->pending     ? LUNAQ_PENDING
           : q->retry       ? LUNAQ_RETRY
           : q->scheduled   ? LUNAQ_SCHEDULED
           : q->aggregating ? LUNAQ_AGGREGATING
           : q->archived    ? LUNAQ_ARCHIVED
           : q->completed   ? LUNAQ_COMPLETED
                            : LUNAQ_PENDING;
}

static void enter(struct dash *d)
{
    if (d->view == DASH_QUEUES && d->row < dash_rows(d)) {
        const lunaq_queue_info *q = lunaq_queue_list_at(d->queues, d->row);
        snprintf(d->queue, sizeof d->queue, "%s", q->name);
        d->state = liveliest(q);
        d->page = 0;
        go(d, DASH_TASKS);
    } else if (d->view == DASH_TASKS && d->row < dash_rows(d)) {
        const lunaq_task_info *t = lunaq_task_list_at(d->tasks, d->row);
        snprintf(d->id, sizeof d->id, "%s", t->id);
        go(d, DASH_TASK);
    }
}

/* True when the dashboard is to end. */
static bool back(struct dash *d)
{
    switch (d->view) {
    case DASH_QUEUES:
        return true;
    case DASH_HELP:
        d->view = d->before;
        return false;
    case DASH_TASK:
        go(d, DASH_TASKS);
        return false;
    case DASH_SERVERS:
    case DASH_TASKS:
        break;
    }
    go(d, DASH_QUEUES);
    return false;
}

static void move_row(struct dash *d, int step)
{
    size_t rows = dash_rows(d);
    if (d->view == DASH_TASK) /* scrolls; drawing keeps it within the text */
        d->top = step < 0 && d->top > 0 ? d->top - 1 : d->top + (step > 0);
    else if (step < 0 && d->row > 0)
        d->row--;
    else if (step > 0 && d->row + 1 < rows)
        d->row++;
}

static bool pressed(struct dash *d, int key)
{
    switch (key) {
    case 'q':
    case KEY_ESC:
    case KEY_BACKSPACE:
        return back(d);
    case KEY_CTRL_C:
        return true;
    case KEY_UP:
    case 'k':
        move_row(d, -1);
        break;
    case KEY_DOWN:
    case 'j':
        move_row(d, 1);
        break;
    case KEY_RIGHT:
    case '\t':
    case 'l':
        change_state(d, 1);
        break;
    case KEY_LEFT:
    case KEY_BTAB:
    case 'h':
        change_state(d, -1);
        break;
    case 'n':
    case KEY_NPAGE:
        turn(d, 1);
        break;
    case 'p':
    case KEY_PPAGE:
        turn(d, -1);
        break;
    case 's':
        if (d->view == DASH_QUEUES)
            go(d, DASH_SERVERS);
        break;
    case 'r':
        fetch(d);
        break;
    case '?':
        if (d->view != DASH_HELP)
            d->before = d->view;
        d->view = DASH_HELP;
        break;
    case '\n':
    case '\r':
    case KEY_ENTER:
        enter(d);
        break;
    default:
        break;
    }
    return false;
}

/* ---- the terminal ----------------------------------------------------------
 */

static void show(struct dash *d)
{
    int64_t due = 0;
    for (;;) {
        int64_t now = lq_mono_ms();
        if (now >= due) {
            fetch(d);
            due = lq_mono_ms() + d->refresh_ms;
        }
        size_t rows = dash_rows(d);
        if (d->row >= rows && d->view != DASH_TASK)
            d->row = rows ? rows - 1 : 0;
        dash_draw(d);
        timeout((int)(due > now ? due - now : 1));
        int key = getch();
        if (key != ERR && pressed(d, key))
            break;
    }
}

static int run_dash(struct cli *cli)
{
    struct dash d = {.refresh_ms = REFRESH_DEFAULT_MS,
                     .state = LUNAQ_PENDING,
                     .error = LUNAQ_ERROR_INIT};
    int rc = cli_want_args(cli, 0, 0);
    if (!rc)
        rc = cli_get_duration(cli, "refresh", &d.refresh_ms);
    if (!rc && (d.refresh_ms < 1000 || d.refresh_ms > 3600000))
        rc = cli_misuse("--refresh: give 1s to 1h");
    if (rc)
        return rc;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return cli_misuse("dash: needs a terminal; try 'lunaq stats'");
    d.client = cli_client(cli);
    if (!d.client)
        return CLI_FAILED;
    /* Before the terminal is taken: an error is told as everywhere. */
    fetch(&d);
    if (d.error.code)
        return cli_fail(&d.error);
    setlocale(LC_ALL, "");
    /* It also sees to it that a signal leaves the terminal as it was. */
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        rc = cli_misuse("dash: the terminal '%s' is not known here; try 'lunaq "
                        "stats'",
                        getenv("TERM") ? getenv("TERM") : "");
    } else {
        raw();
        noecho();
        nonl();
        keypad(stdscr, TRUE);
        set_escdelay(50);
        curs_set(0);
        show(&d);
        endwin();
        delscreen(screen);
    }
    lunaq_queue_list_free(d.queues);
    lunaq_server_list_free(d.servers);
    lunaq_task_list_free(d.tasks);
    return rc;
}

const struct cli_verb cli_dash_verbs[] = {
    {"dash", NULL, "", "watch queues, servers and tasks on the terminal",
     dash_options, run_dash},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
