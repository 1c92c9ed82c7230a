/* lunaqd: takes tasks from the broker and runs their Lua handlers.
 *
 * The library does the work; this file owns what belongs to a process: the
 * command line, signals, the service manager and the exit code.
 *
 *   starting ──► running ──► stopping ──► exit
 *      │            │  ▲         ▲
 *      │            ▼  │         │ TERM, INT (after a reload has ended)
 *      │         reloading ──────┘
 *      └──► exit 1 (cannot start; or TERM, INT while nothing is taken yet)
 *
 * What blocks (open, reload, stop) runs on a thread of its own, one at a time,
 * so that the main thread always answers signals: it only waits.
 */
#include "bin/config.h"
#include "bin/lunaqd_home.h"
#include "bin/lunaqd_notify.h"
#include "bin/lunaqd_say.h"
#include "bin/stdio_guard.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_CLEAN = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* How long after its own limit a stop may take until the process ends
 * nevertheless; what is left runs again when its lease ends. */
enum { STOP_GRACE_MS = 5000, HURRY_GRACE_MS = 2000 };

enum state { STARTING, RUNNING, RELOADING, STOPPING, ENDED };

typedef struct lunaqd {
    config *config;
    say say;
    notify notify;
    lunaq_server *server;
    enum state state;
    bool stop_wanted; /* once the start or the reload has ended */
    /* While starting: who comes first, the thread that begins to take tasks or
     * the signal after which none shall be taken? */
    atomic_flag decided;
    bool reload_wanted;  /* once the one under way has ended */
    int64_t give_up_at;  /* monotonic ms; 0 = never */
    int64_t watchdog_at; /* monotonic ms: the next WATCHDOG=1 */
    int exit_code;
    sigset_t signals;
    int signal_fd, done_fd;
    pthread_t thread;
    int rc; /* of the thread's call */
    lunaq_error err;
} lunaqd;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- calls that block --------------------------------------------------- */

static void *call(void *ud)
{
    lunaqd *d = ud;
    uint64_t one = 1;
    switch (d->state) {
    case STARTING:
        d->rc = lunaq_server_open(&d->server, &d->config->options, &d->err);
        if (d->rc == LUNAQ_OK && !atomic_flag_test_and_set(&d->decided))
            d->rc = lunaq_server_start(d->server, &d->err);
        break;
    case RELOADING:
        d->rc = lunaq_server_reload(d->server, &d->err);
        break;
    case STOPPING:
        d->rc = lunaq_server_stop(d->server, &d->err);
        break;
    default:
        break;
    }
    (void)!write(d->done_fd, &one, sizeof(one));
    return NULL;
}

/* Enters a state whose call blocks. */
static void begin(lunaqd *d, enum state state)
{
    d->state = state;
    d->err = (lunaq_error)LUNAQ_ERROR_INIT;
    int rc = pthread_create(&d->thread, NULL, call, d);
    if (rc) {
        say_line(&d->say, LUNAQ_LOG_ERROR, "cannot start a thread: %s",
                 strerror(rc));
        _exit(EXIT_FAILED); /* as after a crash: leases end by themselves */
    }
}

static void begin_stop(lunaqd *d)
{
    int64_t timeout = d->config->options.shutdown_timeout_ms;
    timeout = timeout == 0 ? 8000 : timeout < 0 ? 0 : timeout;
    d->give_up_at = now_ms() + timeout + STOP_GRACE_MS;
    notify_send(&d->notify, "STOPPING=1\nSTATUS=waiting for running tasks");
    begin(d, STOPPING);
}

static void begin_reload(lunaqd *d)
{
    notify_send(&d->notify, "RELOADING=1\nSTATUS=loading handlers");
    begin(d, RELOADING);
}

static bool is_file(const char *url)
{
    return url && strncmp(url, "sqlite:", 7) == 0;
}

/* Says why the server could not start, and what to do about it. */
static void say_failure(lunaqd *d)
{
    const config *c = d->config;
    const char *text =
        d->err.message[0] ? d->err.message : lunaq_strerror(d->rc);
    const char *who = config_who_said(c, text), *hint = "";
    if (d->rc == LUNAQ_EBROKER && !is_file(c->options.broker)) {
        who = c->source[config_key_find("broker")]; /* it says what to do */
    } else if (d->rc == LUNAQ_EDATABASE && !is_file(c->options.database)) {
        who = c->source[config_key_find("database")];
        hint = "is PostgreSQL running there, and are user and database right?";
    }
    say_line(&d->say, LUNAQ_LOG_ERROR, "cannot start: %s%s%s%s%s",
             who ? who : "", who ? ": " : "", text, *hint ? "; " : "", hint);
}

static void started(lunaqd *d)
{
    char handlers[256] = "", state[320];
    if (d->rc) {
        say_failure(d);
        d->exit_code = EXIT_FAILED;
        d->state = ENDED;
        return;
    }
    d->state = RUNNING;
    lunaq_server_describe(d->server, handlers, sizeof(handlers));
    say_banner(&d->say, d->config, lunaq_server_id(d->server), handlers);
    snprintf(state, sizeof(state), "READY=1\nSTATUS=%s", handlers);
    notify_send(&d->notify, state);
    if (d->stop_wanted)
        begin_stop(d);
}

static void reloaded(lunaqd *d)
{
    char handlers[256] = "";
    lunaq_server_describe(d->server, handlers, sizeof(handlers));
    if (d->rc)
        say_line(&d->say, LUNAQ_LOG_ERROR, "reload refused: %s",
                 d->err.message);
    else
        say_line(&d->say, LUNAQ_LOG_INFO, "reloaded: %s", handlers);
    notify_send(&d->notify, d->rc ? "READY=1\nSTATUS=last reload was refused"
                                  : "READY=1\nSTATUS=running");
    d->state = RUNNING;
    if (d->stop_wanted)
        begin_stop(d);
    else if (d->reload_wanted)
        begin_reload(d);
    d->reload_wanted = false;
}

static void stopped(lunaqd *d)
{
    if (d->rc)
        say_line(&d->say, LUNAQ_LOG_ERROR,
                 "stopped, but tasks are left active: %s; they run again when "
                 "their lease ends",
                 d->err.message);
    else
        say_line(&d->say, LUNAQ_LOG_INFO,
                 "stopped: no task of this server is left active");
    d->exit_code = d->rc ? EXIT_FAILED : EXIT_CLEAN;
    d->state = ENDED;
}

/* The thread's call has returned. */
static void ended(lunaqd *d)
{
    uint64_t n;
    (void)!read(d->done_fd, &n, sizeof(n));
    pthread_join(d->thread, NULL);
    switch (d->state) {
    case STARTING:
        started(d);
        break;
    case RELOADING:
        reloaded(d);
        break;
    case STOPPING:
        stopped(d);
        break;
    default:
        break;
    }
}

/* ---- signals ------------------------------------------------------------ */

static void stop(lunaqd *d, bool interrupt)
{
    switch (d->state) {
    case STARTING:
        d->stop_wanted = true;
        if (atomic_flag_test_and_set(&d->decided))
            break; /* it takes tasks: an orderly stop, once it has started */
        say_line(&d->say, LUNAQ_LOG_WARN,
                 "interrupted while starting; no task was taken");
        pthread_detach(d->thread); /* it may wait long for the network */
        _exit(EXIT_FAILED);
    case RUNNING:
        say_line(&d->say, LUNAQ_LOG_INFO,
                 "stopping: waiting for running tasks%s",
                 interrupt ? "; Ctrl-C again stops now" : "");
        begin_stop(d);
        break;
    case RELOADING:
        lunaq_server_quiet(d->server);
        if (d->stop_wanted && interrupt)
            lunaq_server_hurry(d->server);
        d->stop_wanted = true;
        break;
    case STOPPING:
        if (!interrupt) /* TERM again is what supervisors do: no hurry */
            break;
        say_line(&d->say, LUNAQ_LOG_WARN,
                 "stopping now: running tasks are ended and given back");
        lunaq_server_hurry(d->server);
        if (d->give_up_at > now_ms() + HURRY_GRACE_MS)
            d->give_up_at = now_ms() + HURRY_GRACE_MS;
        break;
    case ENDED:
        break;
    }
}

static void signaled(lunaqd *d)
{
    struct signalfd_siginfo info;
    if (read(d->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGINT:
    case SIGTERM:
        stop(d, info.ssi_signo == SIGINT);
        break;
    case SIGTSTP:
        if (d->state != RUNNING && d->state != RELOADING)
            break;
        lunaq_server_quiet(d->server);
        say_line(&d->say, LUNAQ_LOG_INFO,
                 "quiet: takes no more tasks until it is started again, "
                 "running ones go on");
        notify_send(&d->notify, "STATUS=quiet");
        break;
    case SIGHUP:
        if (d->state == RUNNING)
            begin_reload(d);
        else if (d->state == RELOADING)
            d->reload_wanted = true;
        break;
    default:
        break;
    }
}

/* What only main waits for is blocked before the first thread exists, so that
 * none gets it.  SIGURG is the library's and stays as it is. */
static int prepare_signals(lunaqd *d)
{
    static const int waited[] = {SIGINT, SIGTERM, SIGTSTP, SIGHUP};
    static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&d->signals);
    for (size_t i = 0; i < sizeof(waited) / sizeof(waited[0]); i++)
        sigaddset(&d->signals, waited[i]);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        sigaction(ignored[i], &ignore, NULL);
    pthread_sigmask(SIG_BLOCK, &d->signals, NULL);
    d->signal_fd = signalfd(-1, &d->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    d->done_fd = eventfd(0, EFD_CLOEXEC);
    return d->signal_fd < 0 || d->done_fd < 0 ? -1 : 0;
}

/* ---- the process -------------------------------------------------------- */

/* A worker thread does not come back.  The process ends as by a crash: the
 * service manager starts another, and its tasks run again. */
static void stuck(const char *type, const char *task_id, int64_t seconds,
                  void *userdata)
{
    lunaqd *d = userdata;
    say_line(&d->say, LUNAQ_LOG_ERROR,
             "stuck: %s task %s has kept its thread for %lld s and cannot be "
             "ended; aborting, its tasks run again when their lease ends "
             "(stuck_after)",
             type, task_id, (long long)seconds);
    abort();
}

/* As if the signal had come; the library has told the log who asked. */
static void ordered(lunaq_order order, const char *who, void *userdata)
{
    (void)who;
    (void)userdata;
    kill(getpid(), order == LUNAQ_ORDER_STOP ? SIGTERM : SIGTSTP);
}

/* Every waiting handler may hold a socket. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int poll_timeout(lunaqd *d)
{
    int64_t now = now_ms(), until = INT64_MAX;
    if (d->notify.watchdog_ms && d->state != STARTING) {
        if (now >= d->watchdog_at) {
            if (lunaq_server_healthy(d->server))
                notify_send(&d->notify, "WATCHDOG=1");
            d->watchdog_at = now + d->notify.watchdog_ms;
        }
        until = d->watchdog_at;
    }
    if (d->give_up_at && d->give_up_at < until)
        until = d->give_up_at;
    if (until == INT64_MAX)
        return -1;
    return until <= now ? 0 : until - now > 60000 ? 60000 : (int)(until - now);
}

static int run(lunaqd *d)
{
    umask(077);
    raise_file_limit();
    if (!home_make_data(&d->say, d->config))
        return EXIT_FAILED;
    if (prepare_signals(d)) {
        say_line(&d->say, LUNAQ_LOG_ERROR, "cannot wait for signals: %s",
                 strerror(errno));
        return EXIT_FAILED;
    }
    notify_open(&d->notify);
    d->config->options.stuck = stuck;
    d->config->options.stuck_userdata = d;
    d->config->options.order = ordered;
    begin(d, STARTING);
    while (d->state != ENDED) {
        struct pollfd fds[] = {{.fd = d->signal_fd, .events = POLLIN},
                               {.fd = d->done_fd, .events = POLLIN}};
        int n = poll(fds, 2, poll_timeout(d));
        if (n > 0 && fds[1].revents)
            ended(d);
        else if (n > 0 && fds[0].revents)
            signaled(d);
        if (d->state != ENDED && d->give_up_at && now_ms() >= d->give_up_at) {
            say_line(&d->say, LUNAQ_LOG_ERROR,
                     "the stop takes too long; what is left runs again when "
                     "its lease ends");
            _exit(EXIT_FAILED);
        }
    }
    lunaq_server_close(d->server);
    notify_close(&d->notify);
    close(d->signal_fd);
    close(d->done_fd);
    return d->exit_code;
}

/* Everything that can be known without broker and database. */
static int check(const lunaqd *d)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    const config *c = d->config;
    if (!home_has_folders(&d->say, c))
        return EXIT_FAILED;
    if (lunaq_server_check(&c->options, &err)) {
        const char *who = config_who_said(c, err.message);
        say_line(&d->say, LUNAQ_LOG_ERROR, "%s%s%s", who ? who : "",
                 who ? ": " : "", err.message);
        return EXIT_FAILED;
    }
    printf("%s: ok\n", c->file ? c->file : "configuration (no file)");
    return EXIT_CLEAN;
}

int main(int argc, char **argv)
{
    lunaqd d = {.signal_fd = -1,
                .done_fd = -1,
                .notify.fd = -1,
                .decided = ATOMIC_FLAG_INIT};
    lunaq_error err = LUNAQ_ERROR_INIT;
    config_input input = {.vars = (const char *const *)environ,
                          .args = (const char *const *)argv + 1,
                          .arg_count = argc > 1 ? (size_t)argc - 1 : 0};
    int code = EXIT_CLEAN;
    if (stdio_guard())
        return EXIT_FAILED;
    say_init(&d.say);
    int rc = config_load(&d.config, &input, &err);
    if (rc) {
        say_line(&d.say, LUNAQ_LOG_ERROR, "%s", err.message);
        return rc == LUNAQ_EINVAL ? EXIT_USAGE : EXIT_FAILED;
    }
    for (size_t i = 0;
         i < d.config->warning_count && d.config->action != CONFIG_RUN; i++)
        say_line(&d.say, LUNAQ_LOG_WARN, "%s", d.config->warnings[i]);
    switch (d.config->action) {
    case CONFIG_HELP:
        config_help(stdout);
        break;
    case CONFIG_VERSION:
        printf("lunaqd %s\n", lunaq_version());
        break;
    case CONFIG_PRINT:
        config_print(d.config, stdout);
        break;
    case CONFIG_CHECK:
        code = check(&d);
        break;
    case CONFIG_RUN:
        say_configure(&d.say, d.config);
        for (size_t i = 0; i < d.config->warning_count; i++)
            say_line(&d.say, LUNAQ_LOG_WARN, "%s", d.config->warnings[i]);
        code = home_has_folders(&d.say, d.config) ? run(&d) : EXIT_FAILED;
        break;
    }
    if (fflush(stdout) || ferror(stdout))
        code = EXIT_FAILED;
    config_free(d.config);
    return code;
}
