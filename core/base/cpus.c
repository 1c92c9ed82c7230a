/* A container's quota counts as much as the mask of CPUs. */
#include "base/cpus.h"

#include <sched.h>
#include <stdio.h>

/* cgroup v2: "max 100000" or "<quota> <period>"; v1: two files. */
static double quota(void)
{
    double q = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        int n = fscanf(f, "%lf %lf", &q, &period); /* NOLINT(cert-err34-c) */
        fclose(f);
        return n == 2 && period > 0 ? q / period : 0;
    }
    f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re");
    if (!f)
        return 0;
    int n = fscanf(f, "%lf", &q); /* NOLINT(cert-err34-c) */
    fclose(f);
    f = n == 1 ? fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re") : NULL;
    if (!f)
        return 0;
    n = fscanf(f, "%lf", &period); /* NOLINT(cert-err34-c) */
    fclose(f);
    return n == 1 && q > 0 && period > 0 ? q / period : 0;
}

unsigned lq_cpus(void)
{
    cpu_set_t set;
    unsigned n = 1;
    double limit = quota();

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = (unsigned)CPU_COUNT(&set);
    if (limit > 0 && limit < n)
        n = (unsigned)(limit + 0.5);
    return n ? n : 1;
}
