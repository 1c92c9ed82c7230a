/* fsck: a broker is looked over, part by part, and its faults are told. */
#include "client/handle.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/sized.h"
#include "broker/check.h"

#include <assert.h>

static_assert(sizeof(lunaq_fault) ==
                  offsetof(lunaq_fault, repaired) + sizeof(int64_t),
              "a new field must not hide in padding");
static_assert(sizeof(lunaq_check_options) ==
                  offsetof(lunaq_check_options, ud) + sizeof(void *),
              "a new field must not hide in padding");
static_assert(sizeof(lunaq_checked) ==
                  offsetof(lunaq_checked, repaired) + sizeof(int64_t),
              "a new field must not hide in padding");

/* Strings of the broker's rows are views into NUL-terminated copies. */
static const char *c_str(lq_str s)
{
    return s.p ? s.p : "";
}

static void tell(const lunaq_check_options *o, const char *queue,
                 const lq_fault *f)
{
    char text[512];
    const char *cure = lq_fault_cure(f->kind);
    lq_fault_text(f, text, sizeof text);
    lunaq_fault told = {.size = sizeof told,
                        .kind = lq_fault_name(f->kind),
                        .queue = queue,
                        .id = c_str(f->id),
                        .text = text,
                        .cure = cure ? cure : "",
                        .repaired = f->repaired};
    if (o->fault)
        o->fault(o->ud, &told);
}

/* Queues that are not listed: they are looked over all the same. */
struct unlisted {
    lq_arena mem;
    lq_str *names;
    size_t count;
};

static int remember(struct unlisted *u, const lq_fault *f, lunaq_error *err)
{
    if (!u || f->kind != LQ_FAULT_QUEUE_UNKNOWN || f->repaired)
        return LUNAQ_OK;
    lq_str *more = lq_arena_alloc(&u->mem, (u->count + 1) * sizeof *more);
    char *name = lq_arena_dup(&u->mem, f->id);
    if (!more || !name)
        return lq_fail_nomem(err);
    if (u->count)
        memcpy(more, u->names, u->count * sizeof *more);
    more[u->count++] = lq_str_n(name, f->id.len);
    u->names = more;
    return LUNAQ_OK;
}

static int check_one(lunaq_client *client, const lunaq_check_options *o,
                     lq_str queue, const char *name, struct unlisted *unlisted,
                     lunaq_checked *sum, lunaq_error *err)
{
    lq_check_memo memo = {0};
    int64_t before = sum->faults;
    lq_op_check op = {.queue = queue, .repair = o->repair != 0, .memo = &memo};
    int rc;
    do {
        lq_op_init(&op.op, LQ_OP_CHECK);
        rc = lq_client_call(client, &op.op, err);
        for (size_t i = 0; !rc && i < op.count; i++) {
            sum->faults++;
            sum->repaired += op.faults[i].repaired;
            tell(o, name, &op.faults[i]);
            rc = remember(unlisted, &op.faults[i], err);
        }
        sum->tasks += rc ? 0 : op.tasks;
    } while (!rc && op.more);
    lq_op_release(&op.op);
    lq_check_memo_release(&memo);
    /* Behind a key of a wrong type, which was told, some looks lead nowhere:
     * that keeps back none of the other queues. */
    return rc == LUNAQ_EREPLY && sum->faults > before ? LUNAQ_OK : rc;
}

/* What is listed, and, before that, what should be. */
static int check_all(lunaq_client *client, const lunaq_check_options *o,
                     lunaq_checked *sum, lunaq_error *err)
{
    lq_op_queues queues = {0};
    lq_op_init(&queues.op, LQ_OP_QUEUES);
    struct unlisted more = {0};
    int rc = check_one(client, o, LQ_STR(""), "", &more, sum, err);
    if (!rc)
        rc = lq_client_call(client, &queues.op, err);
    for (size_t i = 0; !rc && i < queues.count + more.count; i++) {
        lq_str name =
            i < queues.count ? queues.names[i] : more.names[i - queues.count];
        rc = check_one(client, o, name, c_str(name), NULL, sum, err);
        sum->queues++;
    }
    lq_arena_release(&more.mem);
    lq_op_release(&queues.op);
    return rc;
}

static int is_there(lunaq_client *client, const char *queue, lunaq_error *err)
{
    lunaq_queue_list *list = NULL;
    int rc = lunaq_queue_list_open(client, queue, &list, err);
    lunaq_queue_list_free(list);
    /* What cannot be read is there, and is what shall be looked at. */
    return rc == LUNAQ_EREPLY ? LUNAQ_OK : rc;
}

int lunaq_queue_check(lunaq_client *client, const char *queue,
                      const lunaq_check_options *options,
                      lunaq_checked *checked, lunaq_error *err)
{
    lunaq_check_options o = LUNAQ_CHECK_OPTIONS_INIT;
    lunaq_checked sum = {.size = sizeof sum};
    int rc = LUNAQ_OK;
    if (options)
        rc = lq_sized_copy(&o, sizeof o, options, "lunaq_check_options", err);
    if (!rc && queue)
        rc = is_there(client, queue, err);
    if (rc)
        return rc;
    if (queue) {
        sum.queues = 1;
        rc = check_one(client, &o, lq_str_c(queue), queue, NULL, &sum, err);
    } else {
        rc = check_all(client, &o, &sum, err);
    }
    if (checked) {
        size_t size = checked->size;
        memcpy(checked, &sum, size < sizeof sum ? size : sizeof sum);
        checked->size = size;
    }
    return rc;
}
