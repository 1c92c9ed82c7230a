#include "support/postgres_server.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Debian keeps the server's programs out of PATH. */
static bool find_program(const char *name, char *path, size_t size)
{
    glob_t found = {0};
    char pattern[128];
    bool ok = false;
    snprintf(pattern, sizeof pattern, "/usr/lib/postgresql/*/bin/%s", name);
    if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0) {
        snprintf(path, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
        ok = true;
    }
    globfree(&found);
    const char *dirs = getenv("PATH");
    while (!ok && dirs && *dirs) {
        size_t len = strcspn(dirs, ":");
        snprintf(path, size, "%.*s/%s", (int)len, dirs, name);
        ok = access(path, X_OK) == 0;
        dirs += len + (dirs[len] == ':');
    }
    return ok;
}

/* In the child: gives up root, and asks the kernel to end it with its parent
 * (after the change of user, which would forget that). */
static void become_postgres(const struct passwd *user, pid_t parent)
{
    if (user && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 ||
                 setuid(user->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != parent)
        _exit(127);
    setenv("LC_ALL", "C", 1);
}

static pid_t run(const postgres_server *s, const char *const *argv)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    char log[96];
    pid_t parent = getpid();
    snprintf(log, sizeof log, "%s/log", s->folder);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    become_postgres(user, parent);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    if (chdir(s->folder) != 0)
        _exit(126);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void show_log(const postgres_server *s)
{
    char command[128];
    snprintf(command, sizeof command, "tail -n 20 '%s/log' >&2", s->folder);
    if (system(command) != 0) /* NOLINT(cert-env33-c): our own folder */
        fprintf(stderr, "(no log)\n");
}

static int make_cluster(const postgres_server *s)
{
    char program[256], data[96];
    int status = 0;
    snprintf(data, sizeof data, "%s/data", s->folder);
    if (!find_program("initdb", program, sizeof program)) {
        fprintf(stderr, "initdb is not installed (postgresql)\n");
        return -1;
    }
    const char *argv[] = {program,
                          "-D",
                          data,
                          "-U",
                          "postgres",
                          "-A",
                          "trust",
                          "-E",
                          "UTF8",
                          "--locale",
                          "C",
                          "--no-sync",
                          "--no-instructions",
                          NULL};
    pid_t pid = run(s, argv);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "initdb failed:\n");
        show_log(s);
        return -1;
    }
    return 0;
}

static int launch(postgres_server *s)
{
    char program[256], data[96], sockets[128], connections[48];
    if (!find_program("postgres", program, sizeof program))
        return -1;
    snprintf(data, sizeof data, "%s/data", s->folder);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", s->folder);
    snprintf(connections, sizeof connections, "max_connections=%d",
             s->max_connections);
    const char *argv[] = {program,
                          "-D",
                          data,
                          "-c",
                          sockets,
                          "-c",
                          connections,
                          "-c",
                          "listen_addresses=",
                          "-c",
                          "fsync=off",
                          "-c",
                          "synchronous_commit=off",
                          "-c",
                          "full_page_writes=off",
                          "-c",
                          "shared_buffers=16MB",
                          "-c",
                          "autovacuum=off",
                          "-c",
                          "superuser_reserved_connections=1",
                          NULL};
    s->pid = run(s, argv);
    int64_t end = mono_ms() + 30000;
    while (s->pid > 0 && mono_ms() < end) {
        if (PQping(s->url) == PQPING_OK)
            return 0;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            s->pid = 0;
        else
            (void)poll(NULL, 0, 10);
    }
    fprintf(stderr, "postgres did not start:\n");
    show_log(s);
    return -1;
}

int postgres_server_start(postgres_server *s, int max_connections)
{
    memset(s, 0, sizeof *s);
    s->max_connections = max_connections ? max_connections : 100;
    snprintf(s->folder, sizeof s->folder, "/tmp/lunaq-pg-XXXXXX");
    if (!mkdtemp(s->folder)) {
        perror("mkdtemp");
        s->folder[0] = 0;
        return -1;
    }
    postgres_server_url(s, "postgres", s->url, sizeof s->url);
    if (geteuid() == 0) {
        const struct passwd *user = getpwnam("postgres");
        if (!user || chown(s->folder, user->pw_uid, user->pw_gid) != 0) {
            fprintf(stderr, "no user postgres to run the server as\n");
            postgres_server_stop(s);
            return -1;
        }
    }
    if (make_cluster(s) == 0 && launch(s) == 0)
        return 0;
    postgres_server_stop(s);
    return -1;
}

void postgres_server_kill(postgres_server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGQUIT);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

int postgres_server_restart(postgres_server *s)
{
    postgres_server_kill(s);
    return launch(s);
}

void postgres_server_stop(postgres_server *s)
{
    postgres_server_kill(s);
    if (s->folder[0]) {
        char command[128];
        snprintf(command, sizeof command, "rm -rf '%s'", s->folder);
        if (system(command) != 0) /* NOLINT(cert-env33-c): our own folder */
            fprintf(stderr, "%s: left behind\n", s->folder);
    }
    s->folder[0] = 0;
}

void postgres_server_url(const postgres_server *s, const char *database,
                         char *url, size_t size)
{
    snprintf(url, size, "postgresql://postgres@/%s?host=%s", database,
             s->folder);
}

int postgres_server_value(const char *url, const char *sql, char *out,
                          size_t size)
{
    PGconn *pg = PQconnectdb(url);
    PGresult *r = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(r);
    int rc = 0;
    if (out && size)
        out[0] = 0;
    if (status == PGRES_TUPLES_OK) {
        if (out && PQntuples(r) > 0)
            snprintf(out, size, "%s", PQgetvalue(r, 0, 0));
    } else if (status != PGRES_COMMAND_OK) {
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(pg));
        rc = -1;
    }
    PQclear(r);
    PQfinish(pg);
    return rc;
}

int postgres_server_exec(const char *url, const char *sql)
{
    return postgres_server_value(url, sql, NULL, 0);
}
