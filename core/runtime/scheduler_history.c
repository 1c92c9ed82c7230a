/* Notes which task a tick enqueued, in the history of its entry.  One whose
 * reply was lost is sent again: it is the same note. */
#include "runtime/scheduler.h"

#include "base/clock.h"
#include "runtime/control.h"

#include <stdio.h>

#define NOTES_MAX 1000 /* that wait for the broker to be back */

/* A tick's place in the history, on its way. */
struct note {
    lq_op_cron_record op; /* first */
    lq_list node;         /* among those to be sent again */
    lq_scheduler *s;
    char entry[LQ_ENTRY_ID_MAX];
    char task[LUNAQ_NAME_MAX + 8]; /* as lq_enqueue.id */
};

static void recorded(lq_op *op)
{
    struct note *n = (struct note *)op;
    lq_scheduler *s = n->s;
    bool lost = op->rc == LUNAQ_EBROKER || op->rc == LUNAQ_EUNKNOWN;

    if (lost && s->note_count < NOTES_MAX) {
        lq_op_release(op);
        lq_list_append(&s->notes, &n->node);
        s->note_count++;
        return;
    }
    if (op->rc && op->rc != LUNAQ_ECANCELED)
        LQ_LOG(s->control->rt->o.log, WARN,
               "a tick is missing in its entry's history",
               lq_fc("entry", n->entry), lq_fs("task_id", n->op.task_id),
               lq_fc("reason", op->err.message));
    lq_op_release(op);
    lq_free(n);
}

static void submit(lq_scheduler *s, struct note *n)
{
    lq_op_init(&n->op.op, LQ_OP_CRON_RECORD);
    n->op.op.done = recorded;
    lq_link_submit(s->control->link, &n->op.op);
}

void lq_scheduler_record(lq_scheduler *s, const lq_entry *e)
{
    struct note *n = lq_calloc(1, sizeof(*n));
    if (!n)
        return;
    n->s = s;
    snprintf(n->entry, sizeof(n->entry), "%s", e->id);
    snprintf(n->task, sizeof(n->task), "%s", e->item.id);
    n->op.entry_id = lq_str_c(n->entry);
    n->op.task_id = lq_str_c(n->task);
    n->op.at_ms = lq_now_ms();
    submit(s, n);
}

void lq_scheduler_record_again(lq_scheduler *s)
{
    lq_list *node;
    while (s->control->link_up && (node = lq_list_shift(&s->notes)) != NULL) {
        s->note_count--;
        submit(s, LQ_OF(node, struct note, node));
    }
}

void lq_scheduler_forget_records(lq_scheduler *s)
{
    lq_list *node;
    if (!s->control)
        return; /* it never began */
    while ((node = lq_list_shift(&s->notes)) != NULL)
        lq_free(LQ_OF(node, struct note, node));
}
