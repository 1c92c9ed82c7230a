/* How many CPUs this process may use. */
#ifndef LQ_CPUS_H
#define LQ_CPUS_H

/** By affinity and the cgroup's quota; at least 1. */
unsigned lq_cpus(void);

#endif
