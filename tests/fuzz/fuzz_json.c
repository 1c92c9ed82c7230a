/* Any text as JSON.  What is taken, cJSON takes too; and once written, it is
 * read and written again as the same bytes. */
#include "fuzz.h"

#include "lua/json.h"

#include <cjson/cJSON.h>
#include <lauxlib.h>

static void write_and_read_again(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_buf once, twice;
    lq_buf_init(&once, 0);
    lq_buf_init(&twice, 0);
    CHECK(lq_json_write(L, 1, &once, &err) == 0);
    CHECK(lq_json_push(L, lq_buf_str(&once), &err) == 0);
    CHECK(lua_gettop(L) == 2);
    CHECK(lq_json_write(L, 2, &twice, &err) == 0);
    CHECK(lq_str_eq(lq_buf_str(&once), lq_buf_str(&twice)));
    lq_buf_release(&once);
    lq_buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lq_str text = lq_str_n(data, size);
    lunaq_error err = LUNAQ_ERROR_INIT, again = LUNAQ_ERROR_INIT;
    lua_State *L = luaL_newstate();
    CHECK(L);
    int checked = lq_json_check(text, &err);
    int pushed = lq_json_push(L, text, &again);
    CHECK(checked == 0 || checked == LUNAQ_EINVAL);
    bool alike = pushed == checked && strcmp(err.message, again.message) == 0;
    /* The one thing that the check does not look at. */
    bool range = !checked && strstr(again.message, "out of range");
    CHECK(alike || range);
    CHECK(lua_gettop(L) == (pushed == 0));
    if (!pushed) {
        cJSON *c = cJSON_ParseWithLength(text.p, text.len);
        CHECK(c);
        cJSON_Delete(c);
        write_and_read_again(L);
    }
    lua_close(L);
    return 0;
}
