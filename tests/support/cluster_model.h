/* cluster_model: the cluster core against nodes that do what bytes tell them:
 * carry out, redirect, refuse, break.  It knows what was really carried out,
 * and holds every result against that. */
#ifndef LQ_TEST_CLUSTER_MODEL_H
#define LQ_TEST_CLUSTER_MODEL_H

#include <stddef.h>
#include <stdint.h>

/** Runs what the bytes say; NULL, or what is wrong. */
const char *cluster_model_run(const uint8_t *data, size_t size);

#endif
