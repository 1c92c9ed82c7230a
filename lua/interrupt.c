/* See interrupt.h.  Who writes what: entry, since_ns, until_ns, current by the
 * worker; shot by the control thread; both read with atomics.  The signal
 * handler runs on the worker and reads all of them. */
#include "lua/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"

/* The host of this worker thread, for its signal handler: the one thing that a
 * handler without arguments can find.  initial-exec, since a lazily allocated
 * thread-local may not be touched in a handler. */
static _Thread_local lq_lua_host *volatile signaled
    __attribute__((tls_model("initial-exec")));

/* What lq_lua_end_here() raises where it cannot yield.  Nobody compares it:
 * the run's `ending` decides. */
static const char end_mark;

static void interrupted(lua_State *L, lua_Debug *ar);

/* To arm the hook is to go through all frames of L, and there may be 200,000 of
 * them, while the next signal is already under way: at most a fifth of the time
 * goes into it.  (It is armed again at all, as the interpreter may have been
 * about to forget it.) */
static void arm(lq_lua_host *host, lua_State *L)
{
    int64_t begun = lq_mono_ns();
    if (lua_gethook(L) == interrupted && begun < host->rearm_ns)
        return;
    lua_sethook(L, interrupted, LUA_MASKCOUNT, 1);
    int64_t done = lq_mono_ns();
    host->rearm_ns = done + 4 * (done - begun);
}

static void on_signal(int signo)
{
    (void)signo;
    int saved = errno;
    lq_lua_host *host = signaled;
    if (host) {
        uint64_t entry = atomic_load(&host->entry);
        lua_State *L = atomic_load(&host->current);
        if (entry != 0 && entry == atomic_load(&host->shot) && L)
            arm(host, L);
    }
    errno = saved;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_errno;

static void install(void)
{
    struct sigaction sa = {.sa_handler = on_signal,
                           .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGURG, &sa, NULL))
        install_errno = errno;
}

int lq_lua_interrupt_install(lunaq_error *err)
{
    pthread_once(&once, install);
    if (install_errno)
        return lq_fail(err, LUNAQ_EIO, "lua: no handler for SIGURG: %s",
                       strerror(install_errno));
    return LUNAQ_OK;
}

void lq_lua_interrupt_init(lq_lua_host *host)
{
    host->thread = pthread_self();
    if (host->mode == LUNAQ_INTERRUPT_HOOK) {
        /* New threads inherit it. */
        lua_sethook(host->L, interrupted, LUA_MASKCOUNT, 1000);
        return;
    }
    if (host->mode != LUNAQ_INTERRUPT_SIGNAL)
        return;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    signaled = host;
}

void lq_lua_interrupt_release(lq_lua_host *host)
{
    if (signaled == host)
        signaled = NULL;
}

/* ---- entering and leaving ------------------------------------------------ */

void lq_lua_enter(lq_lua_run *r)
{
    lq_lua_host *host = r->host;
    host->inside = r;
    host->owner = r->index;
    r->executing = true;
    atomic_store_explicit(&host->since_ns, lq_mono_ns(), memory_order_relaxed);
    atomic_store_explicit(&host->until_ns, r->limit_ns, memory_order_relaxed);
    lq_lua_executes(host, r->co);
    if (r->run) {
        pthread_mutex_lock(&host->shown_lock);
        host->shown = r->run;
        pthread_mutex_unlock(&host->shown_lock);
    }
    atomic_store(&host->entry, ++host->entries);
    if (host->services.busy)
        host->services.busy(host->services.ud);
}

void lq_lua_leave(lq_lua_run *r)
{
    lq_lua_host *host = r->host;
    atomic_store(&host->entry, 0);
    if (r->run) {
        pthread_mutex_lock(&host->shown_lock);
        host->shown = NULL;
        pthread_mutex_unlock(&host->shown_lock);
    }
    lq_lua_executes(host, NULL);
    r->executing = false;
    host->inside = NULL;
    host->owner = 0;
}

/* ---- the hook ------------------------------------------------------------ */

bool lq_lua_may_pause(lua_State *L)
{
    return lq_lua_here(L)->pinned == 0 && lua_isyieldable(L);
}

int lq_lua_end_here(lua_State *L)
{
    if (lq_lua_may_pause(L)) {
        lq_lua_here(L)->pause = LQ_PAUSE_END;
        return lua_yield(L, 0);
    }
    lua_pushlightuserdata(L, (void *)(uintptr_t)&end_mark);
    return lua_error(L);
}

void lq_lua_decide_end(lq_lua_run *r, enum lq_cancel why)
{
    if (r->ending)
        return;
    r->ending = true;
    r->why = why;
    r->limit_ns = lq_mono_ns() + LQ_GRACE_NS;
    if (r->executing)
        atomic_store(&r->host->until_ns, r->limit_ns);
}

void lq_lua_check_time(lua_State *L)
{
    lq_lua_run *r = lq_lua_here(L);
    if (r->limit_ns == 0 || r->host->mode == LUNAQ_INTERRUPT_NONE ||
        lq_mono_ns() < r->limit_ns)
        return;
    if (!r->ending)
        lq_lua_decide_end(r, LQ_CANCEL_DEADLINE);
    lq_lua_end_here(L);
}

static void interrupted(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lq_lua_run *r = lq_lua_here(L);
    lq_lua_host *host = r->host;
    if (host->mode == LUNAQ_INTERRUPT_SIGNAL)
        lua_sethook(L, NULL, 0, 0);
    if (r->phase == LQ_PHASE_IDLE || host->mode == LUNAQ_INTERRUPT_NONE)
        return;
    int64_t now = lq_mono_ns();
    if (r->limit_ns && now >= r->limit_ns) {
        if (!r->ending)
            lq_lua_decide_end(r, LQ_CANCEL_DEADLINE);
        lq_lua_end_here(L);
        return; /* from a hook, the yield happens when it has returned */
    }
    if (r->phase == LQ_PHASE_RUNNING && lq_lua_may_pause(L) &&
        now - atomic_load(&host->since_ns) >= LQ_SLICE_NS) {
        r->pause = LQ_PAUSE_SLICE;
        lua_yield(L, 0);
    }
}

/* ---- the control thread -------------------------------------------------- */

bool lq_lua_busy(lq_runner *runner)
{
    lq_lua_host *host = (lq_lua_host *)runner;
    return atomic_load(&host->entry) != 0;
}

void lq_lua_tick(lq_runner *runner, int64_t mono_ns)
{
    lq_lua_host *host = (lq_lua_host *)runner;
    uint64_t entry = atomic_load(&host->entry);
    if (entry == 0 || host->mode != LUNAQ_INTERRUPT_SIGNAL)
        return;
    int64_t since = atomic_load(&host->since_ns);
    int64_t until = atomic_load(&host->until_ns);
    if (mono_ns - since < LQ_SLICE_NS && (until == 0 || mono_ns < until))
        return;
    if (atomic_load(&host->entry) != entry)
        return; /* the times may be of another stay */
    atomic_store(&host->shot, entry);
    pthread_kill(host->thread, SIGURG);
}

bool lq_lua_inside(lq_runner *runner, int64_t *since_mono_ns, char *type,
                   char *id, size_t size)
{
    lq_lua_host *host = (lq_lua_host *)runner;
    pthread_mutex_lock(&host->shown_lock);
    const lq_run *run = host->shown;
    if (run) {
        *since_mono_ns = atomic_load(&host->since_ns);
        snprintf(type, size, "%.*s", LQ_STR_ARG(run->task.type));
        snprintf(id, size, "%.*s", LQ_STR_ARG(run->task.id));
    }
    pthread_mutex_unlock(&host->shown_lock);
    return run != NULL;
}
