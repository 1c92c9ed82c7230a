/* Standard input, output and error are open, whoever started the program. */
#ifndef LUNAQ_STDIO_GUARD_H
#define LUNAQ_STDIO_GUARD_H

/** Opens /dev/null in the place of each that is closed: else the next file or
 *  socket would get its number, and what is printed would go there.  Before
 *  anything else is opened.  Returns 0, or -1 with errno. */
int stdio_guard(void);

#endif
