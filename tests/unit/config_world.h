/* A folder with handlers/ in it, and configurations loaded from there. */
#ifndef LQ_TEST_CONFIG_WORLD_H
#define LQ_TEST_CONFIG_WORLD_H

#include "bin/config.h"

void config_world_write(const char *folder, const char *name, const char *text,
                        size_t len);
void config_world_remove(const char *folder, const char *name);
/** For cmocka: *state is the folder; the second removes it, and fails when
 *  something was left. */
int config_world_setup(void **state);
int config_world_teardown(void **state);
/** vars and args end with NULL. */
int config_world_load(config **out, const char *folder, const char *const *vars,
                      const char *const *args, lunaq_error *err);
/** What config_print() prints; the caller frees it. */
char *config_world_printed(const config *c);
/** Fails unless part is in text. */
void assert_has(const char *text, const char *part);

#endif
