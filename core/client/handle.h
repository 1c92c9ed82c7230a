/* What the files of the client share: the handle itself. */
#ifndef LQ_CLIENT_HANDLE_H
#define LQ_CLIENT_HANDLE_H

#include "base/map.h"
#include "broker/broker.h"

struct lunaq_client {
    lq_caller *caller;
    int64_t timeout_ms;
    int64_t durable;  /* a lunaq_durable, of tasks that do not say */
    lq_map announced; /* queue → lq_mono_ms() of its last announcement, as a
                         pointer */
};

/** Carries op out.  LUNAQ_EINVAL when client is NULL. */
int lq_client_call(lunaq_client *client, lq_op *op, lunaq_error *err);

/** A queue, id or the like that the caller must name.  LUNAQ_EINVAL when it is
 *  NULL, empty or too long. */
int lq_client_name(lq_str *out, const char *what, const char *name,
                   lunaq_error *err);

#endif
