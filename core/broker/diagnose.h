/* diagnose: how a broker is, and what endangers tasks in it. */
#ifndef LQ_BROKER_DIAGNOSE_H
#define LQ_BROKER_DIAGNOSE_H

#include "broker/broker.h"

#define LQ_FINDINGS_MAX 32

typedef struct lq_finding {
    lunaq_level level;
    const char *area; /* one word, static */
    char text[240];   /* what is, one line */
    const char *cure; /* what to do, static; NULL when it is well */
} lq_finding;

/* Reads only, but for a key of lunaq's own that it writes and deletes. */
typedef struct lq_op_diagnose {
    lq_op op;
    lq_finding *findings; /* result: LQ_FINDINGS_MAX of the caller's */
    size_t count;
} lq_op_diagnose;

/** Adds a finding; beyond LQ_FINDINGS_MAX nothing happens. */
__attribute__((format(printf, 5, 6))) void
lq_finding_add(lq_op_diagnose *op, lunaq_level level, const char *area,
               const char *cure, const char *format, ...);

#endif
