/* The list of tasks in hand, behind one mutex a worker. */
#include "runtime/held.h"

void lq_held_init(lq_held_list *l)
{
    pthread_mutex_init(&l->mutex, NULL);
    lq_list_init(&l->all);
    l->count = 0;
}

void lq_held_release(lq_held_list *l)
{
    pthread_mutex_destroy(&l->mutex);
}

void lq_held_add(lq_held_list *l, lq_held *h)
{
    pthread_mutex_lock(&l->mutex);
    lq_list_append(&l->all, &h->node);
    l->count++;
    pthread_mutex_unlock(&l->mutex);
}

void lq_held_remove(lq_held_list *l, lq_held *h)
{
    pthread_mutex_lock(&l->mutex);
    if (!lq_list_empty(&h->node)) {
        lq_list_remove(&h->node);
        l->count--;
    }
    pthread_mutex_unlock(&l->mutex);
}

void lq_held_show(lq_held_list *l, lq_held *h, bool shown)
{
    pthread_mutex_lock(&l->mutex);
    h->hidden = !shown;
    pthread_mutex_unlock(&l->mutex);
}

size_t lq_held_count(lq_held_list *l)
{
    pthread_mutex_lock(&l->mutex);
    size_t n = l->count;
    pthread_mutex_unlock(&l->mutex);
    return n;
}

static bool copy_one(lq_held *to, const lq_held *h, size_t payload_max,
                     lq_arena *mem)
{
    size_t payload =
        h->payload.len < payload_max ? h->payload.len : payload_max;
    char *p = lq_arena_alloc(mem, h->id.len + h->type.len + payload + 1);
    if (!p)
        return false;
    *to = *h;
    to->id = lq_str_n(memcpy(p, h->id.p, h->id.len), h->id.len);
    p += h->id.len;
    if (h->type.len)
        memcpy(p, h->type.p, h->type.len);
    to->type = lq_str_n(p, h->type.len);
    p += h->type.len;
    if (payload)
        memcpy(p, h->payload.p, payload);
    to->payload = lq_str_n(p, payload);
    return true;
}

size_t lq_held_copy(lq_held_list *l, int queue, size_t payload_max,
                    lq_arena *mem, lq_held **out)
{
    size_t n = 0;
    pthread_mutex_lock(&l->mutex);
    *out = l->count ? lq_arena_alloc(mem, l->count * sizeof(**out)) : NULL;
    if (*out)
        LQ_LIST_EACH (&l->all, node) {
            const lq_held *h = LQ_OF(node, lq_held, node);
            if (queue >= 0 && h->queue != (size_t)queue)
                continue;
            if (!copy_one(&(*out)[n], h, payload_max, mem))
                break;
            n++;
        }
    pthread_mutex_unlock(&l->mutex);
    return n;
}
