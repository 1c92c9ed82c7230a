/* Nodes of a cluster that do what any bytes say: every operation ends once, and
 * every result is true. */
#include "fuzz.h"

#include "redis/cluster_map.h"
#include "support/cluster_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)lq_cluster_hear(lq_str_n((const char *)data, size));
    CHECK(!cluster_model_run(data, size));
    return 0;
}
