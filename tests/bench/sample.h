/* A list of durations and its percentiles. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Comparable between processes of one machine. */
static inline int64_t sample_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void sample_sleep_until(int64_t at_ns)
{
    struct timespec t = {at_ns / 1000000000, at_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static inline int sample_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/** Sorts, and prints "p50_ms 0.271" and "p99_ms …". */
static inline void sample_print(int64_t *ns, size_t count)
{
    if (count == 0)
        return;
    qsort(ns, count, sizeof *ns, sample_compare);
    printf("p50_ms %.3f\np99_ms %.3f\n",
           (double)ns[(count - 1) * 50 / 100] / 1e6,
           (double)ns[(count - 1) * 99 / 100] / 1e6);
}

#endif
