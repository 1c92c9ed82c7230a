/* script: the Lua scripts of scripts/, as bytes with their SHA1, from the
 * build. */
#ifndef LQ_SCRIPT_H
#define LQ_SCRIPT_H

#include "base/str.h"

typedef struct lq_script {
    const char *name;
    lq_str source;
    char sha[41];
    /* The same for Redis >= 7 with "#!lua flags=allow-oom" in front, which
     * lets it write when Redis is full; p NULL when it shall not. */
    lq_str oom_source;
    char oom_sha[41];
} lq_script;

/* One constant for each scripts/<name>.lua that is not a part of others
 * (parts begin with '_'): lq_script_<name>, declared in the file that uses
 * it: extern const lq_script lq_script_step; */

#endif
