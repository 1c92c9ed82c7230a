/* What the daemon itself says, in the format of the log. */
#ifndef LUNAQD_SAY_H
#define LUNAQD_SAY_H

#include "bin/config.h"

typedef struct say {
    bool json;
    bool journal; /* lines begin with their syslog priority */
    int64_t level;
} say;

/** Before the configuration is known: plain text, everything. */
void say_init(say *s);
/** As the configuration asks for. */
void say_configure(say *s, const config *c);
/** One line on stderr, in one write.  Any thread. */
__attribute__((format(printf, 3, 4))) void
say_line(const say *s, lunaq_log_level level, const char *format, ...);
/** The start: a banner for a terminal, else one line with the same facts. */
void say_banner(const say *s, const config *c, const char *server_id,
                const char *handlers);

#endif
