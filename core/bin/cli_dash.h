/* The dashboard: what it shows, apart from how it is fetched and drawn. */
#ifndef LUNAQ_CLI_DASH_H
#define LUNAQ_CLI_DASH_H

#include "cli.h"

enum dash_view { DASH_QUEUES, DASH_SERVERS, DASH_TASKS, DASH_TASK, DASH_HELP };

#define DASH_PAGE 30 /* tasks fetched at once */

struct dash {
    lunaq_client *client;
    int64_t refresh_ms;
    enum dash_view view, before; /* before: what help goes back to */
    int64_t fetched_at;          /* 0 = never */
    lunaq_error error;           /* of the last fetch; code 0 = none */
    lunaq_queue_list *queues;
    lunaq_server_list *servers;
    lunaq_task_list *tasks; /* of `queue` in `state`; of DASH_TASK the one */
    char queue[LUNAQ_NAME_MAX + 1];
    char id[8 * LUNAQ_NAME_MAX + 1];
    lunaq_state state;
    int64_t page;
    size_t row, top; /* the row that is marked; the first one on the screen */
};

/** How many rows the view has. */
size_t dash_rows(const struct dash *d);
/** Draws the whole screen, of whatever size it is. */
void dash_draw(struct dash *d);

#endif
