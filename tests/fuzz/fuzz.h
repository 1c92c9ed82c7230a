/* What every fuzz target needs. */
#ifndef LQ_FUZZ_H
#define LQ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Not assert(): it must hold in every build type. */
#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition))                                                      \
            __builtin_trap();                                                  \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
