/* See the header. */
#include "broker/diagnose.h"

#include <stdarg.h>
#include <stdio.h>

void lq_finding_add(lq_op_diagnose *op, lunaq_level level, const char *area,
                    const char *cure, const char *format, ...)
{
    va_list ap;
    if (op->count == LQ_FINDINGS_MAX)
        return;
    lq_finding *f = &op->findings[op->count++];
    f->level = level;
    f->area = area;
    f->cure = cure;
    va_start(ap, format);
    vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
}
