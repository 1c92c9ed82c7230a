#include "support/temp_folder.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int temp_folder_make(temp_folder *f)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(f->path, sizeof(f->path), "%s/lunaq-test-XXXXXX",
                     tmp && *tmp ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof(f->path) || !mkdtemp(f->path)) {
        perror("temp_folder");
        f->path[0] = 0;
        return -1;
    }
    return 0;
}

void temp_folder_empty(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        char below[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode)) {
            temp_folder_empty(below);
            rmdir(below);
        } else {
            unlink(below);
        }
    }
    if (dir)
        closedir(dir);
}

void temp_folder_remove(temp_folder *f)
{
    if (!f->path[0])
        return;
    temp_folder_empty(f->path);
    rmdir(f->path);
    f->path[0] = 0;
}
