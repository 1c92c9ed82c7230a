/* The table of hooks: see hook.h. */
#include "lua/hook.h"

#include "lua/error.h"
#include "lua/generation.h"
#include "lua/group.h"
#include "lua/mod_task.h"
#include "lua/schedule.h"

/* on_archive(task, err): err as a backoff function gets it. */
static int push_archived(lua_State *L, lq_lua_run *r)
{
    const lq_archived_in *in = r->run->in;
    lq_lua_task_push(L, r);
    lq_lua_push_error(L, lq_str_c(in->error_kind), in->error, (lq_str){0},
                      (lq_str){0});
    return 2;
}

const lq_lua_hook lq_lua_hooks[LQ_RUN_KINDS] = {
    [LQ_RUN_ARCHIVED] = {.option = "on_archive", .push = push_archived},
    [LQ_RUN_AGGREGATE] = {.option = "group",
                          .member = "aggregate",
                          .push = lq_lua_group_push,
                          .read = lq_lua_group_read},
    [LQ_RUN_PROVIDE] = {.option = "schedule",
                        .push = lq_lua_schedule_push,
                        .read = lq_lua_schedule_read},
    [LQ_RUN_BEFORE_ENQUEUE] = {.option = "before_enqueue",
                               .push = lq_lua_before_push,
                               .read = lq_lua_before_read},
    [LQ_RUN_AFTER_ENQUEUE] = {.option = "after_enqueue",
                              .push = lq_lua_after_push},
};

bool lq_lua_hook_push(lua_State *L, int index, enum lq_run_kind kind)
{
    const lq_lua_hook *hook = &lq_lua_hooks[kind];
    if (!hook->option || !lua_istable(L, index))
        return false;
    index = lua_absindex(L, index);
    lua_pushstring(L, hook->option);
    lua_rawget(L, index);
    if (hook->member && lua_istable(L, -1)) {
        lua_pushstring(L, hook->member);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    } else if (hook->member) {
        lua_pop(L, 1);
        return false;
    }
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

bool lq_lua_has_hook(lq_runner *runner, enum lq_run_kind kind, lq_str type)
{
    const lq_lua_host *host = (lq_lua_host *)runner;
    const lq_lua_handler *h =
        host->live ? lq_lua_generation_find(host->live, type) : NULL;
    return h && h->hook_refs[kind] != LUA_NOREF;
}
