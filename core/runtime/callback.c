/* The table of C handlers, and what is around them.  It does not change once
 * there are runners, so it is read without a lock. */
#include "runtime/callback_parts.h"

#include "base/alloc.h"
#include "base/sized.h"
#include <assert.h>
#include <stdio.h>

/* ---- the table ----------------------------------------------------------- */

int lq_callbacks_new(lq_callbacks **out, size_t threads, lq_log *log,
                     lunaq_error *err)
{
    lq_callbacks *c =
        lq_calloc(1, sizeof(*c) + threads * sizeof(c->threads[0]));

    *out = c;
    if (!c)
        return lq_fail_nomem(err);
    c->log = log;
    c->max = threads;
    lq_list_init(&c->prefixes);
    lq_list_init(&c->queue);
    lq_list_init(&c->running);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->written, NULL);
    return LUNAQ_OK;
}

static bool fits(const lq_callback_entry *e, lq_str type)
{
    return lq_str_starts(type, e->type);
}

const lq_callback_entry *lq_callback_find(const lq_callbacks *c, lq_str type)
{
    const lq_callback_entry *e = lq_map_get(&c->exact, type);

    if (e)
        return e;
    LQ_LIST_EACH (&c->prefixes, node) {
        e = LQ_OF(node, lq_callback_entry, node);
        if (fits(e, type))
            return e;
    }
    return NULL;
}

static int add_prefix(lq_callbacks *c, lq_callback_entry *entry,
                      lunaq_error *err)
{
    lq_list *before = &c->prefixes;

    LQ_LIST_EACH (&c->prefixes, node) {
        const lq_callback_entry *e = LQ_OF(node, lq_callback_entry, node);
        if (lq_str_eq(e->type, entry->type))
            return lq_fail(err, LUNAQ_EEXIST, "%.*s*: has a handler",
                           LQ_STR_ARG(e->type));
        if (before == &c->prefixes && e->type.len < entry->type.len)
            before = node;
    }
    lq_list_append(before, &entry->node);
    return LUNAQ_OK;
}

static int add_exact(lq_callbacks *c, lq_callback_entry *entry,
                     lunaq_error *err)
{
    if (lq_map_get(&c->exact, entry->type))
        return lq_fail(err, LUNAQ_EEXIST, "%.*s: has a handler",
                       LQ_STR_ARG(entry->type));
    if (!lq_map_set(&c->exact, entry->type, entry, NULL))
        return lq_fail_nomem(err);
    return LUNAQ_OK;
}

static int check_options(lunaq_handler_options *to,
                         const lunaq_handler_options *from, lunaq_error *err)
{
    static const struct {
        const char *name;
        size_t offset;
        int64_t min, max;
    } all[] = {
        {"concurrency", offsetof(lunaq_handler_options, concurrency), 0,
         1000000},
        {"max_retry", offsetof(lunaq_handler_options, max_retry), -1,
         INT32_MAX},
        {"timeout (ms)", offsetof(lunaq_handler_options, timeout_ms), -1,
         INT64_MAX / 2},
    };
    int rc = from ? lq_sized_copy(to, sizeof(*to), from,
                                  "lunaq_handler_options", err)
                  : LUNAQ_OK;
    for (size_t i = 0; !rc && i < LQ_COUNT(all); i++) {
        int64_t n;
        memcpy(&n, (const char *)to + all[i].offset, sizeof(n));
        if (n < all[i].min || n > all[i].max)
            rc = lq_fail(err, LUNAQ_ECONFIG,
                         "%s of a handler is %lld: use %lld to %lld",
                         all[i].name, (long long)n, (long long)all[i].min,
                         (long long)all[i].max);
    }
    return rc;
}

int lq_callbacks_add(lq_callbacks *c, const char *type,
                     const lunaq_handler_options *options, lunaq_handler_fn *fn,
                     void *userdata, lunaq_error *err)
{
    lq_str name = lq_str_c(type);
    bool prefix = name.len && name.p[name.len - 1] == '*';
    lunaq_handler_options checked = LUNAQ_HANDLER_OPTIONS_INIT;
    lq_callback_entry *e;
    char *copy;
    int rc = check_options(&checked, options, err);

    if (rc) {
        lq_error_prefix(err, "%s", type ? type : "");
        return rc;
    }
    if (!fn)
        return lq_fail(err, LUNAQ_EINVAL, "%s: the handler is NULL",
                       type ? type : "");
    if (prefix)
        name.len--;
    if (name.len || !prefix) { /* "*" alone is every type */
        rc = lq_name_check("task type", name, err);
        if (rc)
            return rc;
    }
    e = lq_calloc(1, sizeof(*e) + name.len + 1);
    if (!e)
        return lq_fail_nomem(err);
    copy = (char *)(e + 1);
    memcpy(copy, name.p, name.len);
    *e = (lq_callback_entry){.type = lq_str_n(copy, name.len),
                             .prefix = prefix,
                             .fn = fn,
                             .userdata = userdata,
                             .options = checked};
    lq_list_init(&e->node);
    rc = prefix ? add_prefix(c, e, err) : add_exact(c, e, err);
    if (rc)
        lq_free(e);
    else
        c->count++;
    return rc;
}

void lq_callbacks_aggregate(lq_callbacks *c, lunaq_aggregate_fn *fn,
                            void *userdata)
{
    c->aggregate = fn;
    c->aggregate_userdata = userdata;
}

size_t lq_callbacks_count(const lq_callbacks *c)
{
    return c->count;
}

bool lq_callbacks_handles(const lq_callbacks *c, lq_str type)
{
    return lq_callback_find(c, type) != NULL;
}

/* 0 there is "not said" here. */
static int64_t said(int64_t option)
{
    return option == 0 ? -1 : option < 0 ? 0 : option;
}

bool lq_callbacks_type(const lq_callbacks *c, lq_str type, lq_type_options *out)
{
    const lq_callback_entry *e = lq_callback_find(c, type);
    if (!e)
        return false;
    out->timeout_ms = said(e->options.timeout_ms);
    out->max_retry = said(e->options.max_retry);
    out->concurrency = (uint32_t)e->options.concurrency;
    /* No handler file's name begins so. */
    if (out->concurrency)
        snprintf(out->handler, sizeof(out->handler), "/%.*s%s",
                 LQ_STR_ARG(e->type), e->prefix ? "*" : "");
    return true;
}

/* ---- its end
 * ----------------------------------------------------------------- */

static void free_entry(lq_callback_entry *e)
{
    lq_list_remove(&e->node);
    lq_free(e);
}

void lq_callbacks_free(lq_callbacks *c)
{
    size_t at = 0;
    void *entry;
    lq_str type;

    if (!c)
        return;
    assert(lq_list_empty(&c->queue));
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < c->started; i++)
        pthread_join(c->threads[i], NULL);
    LQ_LIST_EACH (&c->prefixes, node) {
        free_entry(LQ_OF(node, lq_callback_entry, node));
    }
    while (lq_map_each(&c->exact, &at, &type, &entry))
        free_entry(entry);
    lq_map_release(&c->exact);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->written);
    lq_free(c->around.steps);
    pthread_mutex_destroy(&c->lock);
    lq_free(c);
}
