#include "db/line.h"

#include "base/alloc.h"

struct lq_line {
    pthread_mutex_t mutex;
    lq_list places; /* the first has the turn, or is about to see it */
    size_t count;
};

lq_line *lq_line_new(void)
{
    lq_line *line = lq_calloc(1, sizeof *line);
    if (!line)
        return NULL;
    pthread_mutex_init(&line->mutex, NULL);
    lq_list_init(&line->places);
    return line;
}

void lq_line_free(lq_line *line)
{
    if (!line)
        return;
    pthread_mutex_destroy(&line->mutex);
    lq_free(line);
}

void lq_line_place_init(lq_line_place *place)
{
    lq_list_init(&place->node);
    pthread_cond_init(&place->moved, NULL);
    place->first = false;
}

void lq_line_place_release(lq_line_place *place)
{
    pthread_cond_destroy(&place->moved);
}

static void step_out(lq_line *line, lq_line_place *place)
{
    bool was_first = line->places.next == &place->node;
    lq_list_remove(&place->node);
    line->count--;
    place->first = false;
    if (was_first && !lq_list_empty(&line->places))
        pthread_cond_signal(
            &LQ_OF(line->places.next, lq_line_place, node)->moved);
}

bool lq_line_enter(lq_line *line, lq_line_place *place, const atomic_bool *stop)
{
    if (!line || place->first)
        return true;
    pthread_mutex_lock(&line->mutex);
    lq_list_append(&line->places, &place->node);
    line->count++;
    while (line->places.next != &place->node && !atomic_load(stop))
        pthread_cond_wait(&place->moved, &line->mutex);
    place->first = line->places.next == &place->node && !atomic_load(stop);
    if (!place->first)
        step_out(line, place);
    bool first = place->first;
    pthread_mutex_unlock(&line->mutex);
    return first;
}

void lq_line_leave(lq_line *line, lq_line_place *place)
{
    if (!line || !place->first)
        return;
    pthread_mutex_lock(&line->mutex);
    step_out(line, place);
    pthread_mutex_unlock(&line->mutex);
}

void lq_line_poke(lq_line *line, lq_line_place *place)
{
    if (!line)
        return;
    pthread_mutex_lock(&line->mutex);
    pthread_cond_signal(&place->moved);
    pthread_mutex_unlock(&line->mutex);
}

size_t lq_line_waiting(lq_line *line)
{
    pthread_mutex_lock(&line->mutex);
    size_t n = line->count ? line->count - 1 : 0;
    pthread_mutex_unlock(&line->mutex);
    return n;
}
