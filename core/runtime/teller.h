/* The teller: tells handlers of tasks that were archived while no server had
 * them in hand, because somebody canceled them.
 *
 * It looks for the broker's notes every other second, and only while some
 * handler has an on_archive.  Whichever server takes a note tells of it.
 */
#ifndef LQ_TELLER_H
#define LQ_TELLER_H

#include "broker/archived.h"
#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_teller {
    struct lq_control *control;
    lq_periodic round;
    lq_op_untold take;
    size_t queue; /* that is looked at */
} lq_teller;

int lq_teller_start(lq_teller *t, struct lq_control *c, lunaq_error *err);
void lq_teller_stop(lq_teller *t);

#endif
