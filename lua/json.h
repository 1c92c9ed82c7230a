/* JSON between text and Lua values.
 *
 * Strict in both directions (RFC 8259).  Reading: UTF-8 only, no trailing
 * bytes, at most LQ_JSON_DEPTH levels and LQ_JSON_MAX bytes; of equal names in
 * an object the last wins; numbers without fraction and exponent that fit
 * int64 are integers, all others floats; null is lq_json_null.  Writing: names
 * sorted by their bytes, no spaces, so equal values give equal bytes.
 *
 * A table is an array when it was marked as one (lq_json_mark_array, and every
 * array that was read) or holds the keys 1…n and no others; an empty table
 * without a mark is an object.
 */
#ifndef LQ_JSON_H
#define LQ_JSON_H

#include "base/buf.h"
#include "base/error.h"

#include <lua.h>

#define LQ_JSON_DEPTH 128
#define LQ_JSON_MAX ((size_t)64 * 1024 * 1024)

/** Is this JSON?  LUNAQ_EINVAL with "line 1, column 8: …" otherwise.  Columns
 *  count characters.  Pure; any thread. */
int lq_json_check(lq_str text, lunaq_error *err);

/** Can it stand as a value inside of other JSON, LQ_JSON_NEST levels down, and
 *  that be read?  Pure; any thread. */
bool lq_json_can_nest(lq_str text);
#define LQ_JSON_NEST 8

/** Pushes the value of a text, or fails as lq_json_check() and pushes nothing.
 *  Raises only when memory is out. */
int lq_json_push(lua_State *L, lq_str text, lunaq_error *err);

/** Appends the JSON of the value at index.  LUNAQ_EINVAL names the place that
 *  has no JSON form ("$.items[3].price: …"), LUNAQ_EFULL: longer than out may
 *  become, or memory is out.  On failure out holds what it held before.  Never
 *  raises, runs no metamethods, leaves the stack as it was. */
int lq_json_write(lua_State *L, int index, lq_buf *out, lunaq_error *err);

/** The same for an object of these members of the table at index; names that
 *  it does not have are left out. */
int lq_json_write_members(lua_State *L, int index, const char *const *names,
                          size_t count, lq_buf *out, lunaq_error *err);

/** What stands for JSON's null (and SQL's) in Lua: a light userdata. */
void lq_json_push_null(lua_State *L);
bool lq_json_is_null(lua_State *L, int index);

/** What is written as [] wherever it stands: a light userdata too. */
void lq_json_push_empty_array(lua_State *L);
bool lq_json_is_empty_array(lua_State *L, int index);

/** Marks the table at index, so that it is written as an array even when it is
 *  empty.  It must have no other metatable.  Raises when memory is out. */
void lq_json_mark_array(lua_State *L, int index);
/** Is it marked?  Needs two free slots of the stack; never raises. */
bool lq_json_is_array(lua_State *L, int index);
/** Pushes the metatable that is the mark.  Raises when memory is out. */
void lq_json_push_array_meta(lua_State *L);

/** The module `json`: encode decode try_encode try_decode null array
 *  empty_array. */
int luaopen_lunaq_json(lua_State *L);

#endif
