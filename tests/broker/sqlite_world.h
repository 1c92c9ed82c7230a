/* sqlite_world: the suite's factory on a queue file in a folder of its own. */
#ifndef LQ_TEST_SQLITE_WORLD_H
#define LQ_TEST_SQLITE_WORLD_H

#include "broker/world.h"

/** Makes the folder; 0 on success. */
int sqlite_world_start(void);
void sqlite_world_stop(void);
const world_factory *sqlite_world_factory(void);
/** The folder, and the path of the file in it. */
const char *sqlite_world_folder(void);
const char *sqlite_world_path(void);

/* Tests of SQLite alone: append to out, return how many. */
size_t sqlite_files(struct CMUnitTest *out);
size_t sqlite_processes(struct CMUnitTest *out);

#endif
