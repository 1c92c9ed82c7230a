/* Reading an option struct of another version. */
#include "base/options.h"

#include <string.h>

int lq_options_read(void *out, size_t known, const void *in, const char *what,
                    lunaq_error *err)
{
    size_t size;

    memset(out, 0, known);
    if (!in)
        return LUNAQ_OK;
    memcpy(&size, in, sizeof(size));
    if (size < sizeof(size))
        return lq_fail(err, LUNAQ_EINVAL,
                       "%s.size is %zu: set the struct up with its _INIT macro",
                       what, size);
    for (size_t i = known; i < size; i++)
        if (((const char *)in)[i])
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s has fields that this version of lunaq does not "
                           "know: the library is older than the header",
                           what);
    memcpy(out, in, size < known ? size : known);
    memcpy(out, &known, sizeof(known));
    return LUNAQ_OK;
}
