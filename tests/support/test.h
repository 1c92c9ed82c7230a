/* cmocka, with the headers it wants first, and nothing that 2.0 removed. */
#ifndef LQ_TEST_H
#define LQ_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
