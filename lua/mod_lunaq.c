/* lunaq.sleep now uuid env, and the verdicts retry_after snooze skip_retry
 * discard. */
#include "lua/mod_lunaq.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lua/host.h"
#include "lua/nap.h"
#include "lua/outcome.h"
#include "task/duration.h"
#include "task/id.h"

#define SECONDS_MAX 3.2e8 /* ten years */

int64_t lq_lua_check_duration(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_Number seconds = lua_tonumber(L, index);
        luaL_argcheck(L, seconds >= 0 && seconds <= SECONDS_MAX, index,
                      "a duration from 0 to ten years is expected");
        return (int64_t)ceil(seconds * 1000);
    }
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_typeerror(L, index, "duration (\"5m\", or seconds)");
    size_t len;
    int64_t ms;
    lunaq_error err;
    const char *p = luaL_checklstring(L, index, &len);
    if (lq_duration_parse(lq_str_n(p, len), &ms, &err))
        luaL_argerror(L, index, err.message);
    return ms;
}

/* ---- sleep --------------------------------------------------------------- */

static int slept(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

static int lunaq_sleep(lua_State *L)
{
    int64_t ms = lq_lua_check_duration(L, 1);
    lua_settop(L, 0);
    lq_lua_nap *nap = lua_newuserdatauv(L, sizeof *nap, 0);
    lq_await_init(&nap->await, L, "lunaq.sleep", lq_lua_nap_cancel);
    if (!lq_lua_nap_start(lq_lua_host_of(L)->naps, nap, ms))
        return luaL_error(L, "out of memory");
    return lq_await_park(L, &nap->await, 0, slept);
}

/* ---- the world ----------------------------------------------------------- */

static int lunaq_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)lq_now_us() / 1e6);
    return 1;
}

static int lunaq_uuid(lua_State *L)
{
    char id[LQ_UUID_LEN + 1];
    lq_uuid7(id, lq_now_ms());
    lua_pushlstring(L, id, LQ_UUID_LEN);
    return 1;
}

static int lunaq_env(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *const *allowed = lq_lua_host_of(L)->options->env;
    for (; allowed && *allowed; allowed++) {
        if (strcmp(*allowed, name) == 0) {
            lua_pushstring(L, getenv(name)); /* nil when it is not set */
            return 1;
        }
    }
    return luaL_error(L,
                      "lunaq.env(\"%s\"): not allowed; add it to `env` in the "
                      "configuration",
                      name);
}

/* ---- verdicts ------------------------------------------------------------ */

static int lunaq_retry_after(lua_State *L)
{
    lq_lua_push_verdict(L, LQ_RETRY_AFTER, lq_lua_check_duration(L, 1), 2);
    return 1;
}

static int lunaq_snooze(lua_State *L)
{
    lq_lua_push_verdict(L, LQ_SNOOZED, lq_lua_check_duration(L, 1), 2);
    return 1;
}

static int lunaq_skip_retry(lua_State *L)
{
    lq_lua_push_verdict(L, LQ_SKIPPED, 0, 1);
    return 1;
}

static int lunaq_discard(lua_State *L)
{
    lq_lua_push_verdict(L, LQ_DISCARDED, 0, 1);
    return 1;
}

int luaopen_lunaq_lunaq(lua_State *L)
{
    static const luaL_Reg functions[] = {{"sleep", lunaq_sleep},
                                         {"now", lunaq_now},
                                         {"uuid", lunaq_uuid},
                                         {"env", lunaq_env},
                                         {"retry_after", lunaq_retry_after},
                                         {"snooze", lunaq_snooze},
                                         {"skip_retry", lunaq_skip_retry},
                                         {"discard", lunaq_discard},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
