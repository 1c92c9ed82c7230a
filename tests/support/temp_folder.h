/* temp_folder: a folder of the test's own. */
#ifndef LQ_TEST_TEMP_FOLDER_H
#define LQ_TEST_TEMP_FOLDER_H

typedef struct temp_folder {
    char path[64];
} temp_folder;

/** Makes it below $TMPDIR or /tmp; 0, or -1. */
int temp_folder_make(temp_folder *f);
/** Removes everything in a folder, but not the folder. */
void temp_folder_empty(const char *path);
/** Removes it with all that is in it.  Safe to repeat. */
void temp_folder_remove(temp_folder *f);

#endif
