#include "broker/world.h"
size_t suite_due(struct CMUnitTest *out)
{
    (void)out;
    return 0;
}
