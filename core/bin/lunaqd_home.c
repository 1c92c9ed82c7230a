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

bool home_has_handlers(const say *s, const config *c)
{
    struct stat st;
    const char *source = c->source[config_key_find("handlers")];
    if (stat(c->options.handlers, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    if (source)
        say_line(s, LUNAQ_LOG_ERROR,
                 "handlers: %s is not a folder (%s): create it, or correct "
                 "the setting",
                 c->options.handlers, source);
    else
        say_line(s, LUNAQ_LOG_ERROR,
                 "no handlers: looked for lunaq.conf.lua and handlers/ in %s "
                 "and the folders above; create handlers/hello.lua there, or "
                 "name the folder with --home",
                 c->home);
    return false;
}
