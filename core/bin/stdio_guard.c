/* A program may be started with its standard files closed. */
#include "bin/stdio_guard.h"

#include <errno.h>
#include <fcntl.h>

int stdio_guard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", O_RDWR) != fd) /* the lowest that is free */
            return -1;
    }
    return 0;
}
