/* What the daemon finds or makes in the application's folder. */
#include "bin/lunaqd_home.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* True for a file in .lunaq of the home, as the default is. */
static bool in_data(const config *c, const char *url)
{
    size_t len = strlen(c->home);
    if (!url || strncmp(url, "sqlite:", 7) != 0)
        return false;
    url += 7;
    if (strncmp(url, c->home, len) == 0 && url[len] == '/')
        url += len + 1;
    return strncmp(url, CONFIG_DATA "/", strlen(CONFIG_DATA "/")) == 0;
}

static bool ignored(int folder)
{
    static const char all[] = "*\n";
    int fd = openat(folder, ".gitignore",
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST;
    bool done = write(fd, all, sizeof(all) - 1) == (ssize_t)sizeof(all) - 1;
    return close(fd) == 0 && done;
}

bool home_make_data(const say *s, const config *c)
{
    char path[4200];
    const lunaq_server_options *o = &c->options;
    if (!in_data(c, o->broker) && !(o->migrations && in_data(c, o->database)))
        return true;
    snprintf(path, sizeof(path), "%s/" CONFIG_DATA, c->home);
    if (mkdir(path, 0700) != 0) {
        struct stat st;
        if (errno == EEXIST && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                return true;
            errno = ENOTDIR;
        }
        say_line(s, LUNAQ_LOG_ERROR,
                 "cannot make the folder %s: %s: %s, or keep tasks and data "
                 "elsewhere (LUNAQ_BROKER, DATABASE_URL)",
                 path, strerror(errno),
                 errno == ENOTDIR ? "move the file of this name away"
                                  : "let this user write to the folder above");
        return false;
    }
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || !ignored(folder))
        say_line(s, LUNAQ_LOG_WARN,
                 "%s/.gitignore cannot be written: %s: keep the folder out of "
                 "the repository by hand",
                 path, strerror(errno));
    if (folder >= 0)
        close(folder);
    return true;
}

/* True for a folder; else it is told, if somebody named it. */
static bool is_folder(const say *s, const config *c, const char *key,
                      const char *path)
{
    struct stat st;
    const char *source = c->source[config_key_find(key)];
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    if (source)
        say_line(s, LUNAQ_LOG_ERROR,
                 "%s: %s: %s is not a folder: create it, or correct the "
                 "setting",
                 source, key, path);
    return false;
}

bool home_has_folders(const say *s, const config *c)
{
    const lunaq_server_options *o = &c->options;
    if (o->migrations && !is_folder(s, c, "migrations", o->migrations))
        return false;
    if (is_folder(s, c, "handlers", o->handlers))
        return true;
    if (!c->source[config_key_find("handlers")])
        say_line(s, LUNAQ_LOG_ERROR,
                 "no handlers: looked for lunaq.conf.lua and handlers/ in %s "
                 "and the folders above; create handlers/hello.lua there, or "
                 "name the folder with --home",
                 c->home);
    return false;
}
