/* ljson: core.json, Lua values to JSON text and back, with cJSON.
 *
 * Values are written without a tree of cJSON's, which costs more than the text; it escapes, and it reads.
 * It would print 2^53-1 and 0.1 + 0.2 wrongly; integers come in from the double when that is exact.
 * {} is an object; json.array marks a list, and what came in as an array is marked, so that round trips
 * hold. json.null is the null light userdata. */
#include "lcommon.h"
#include "sys/plain.h"

#if !__has_include(<cjson/cJSON.h>)
#error "cJSON headers not found: apt-get install libcjson-dev, or pass CJSON_INCDIR=<dir> to luarocks"
#endif
#include <cjson/cJSON.h>

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE_BOX "firecracker.json"
#define ARRAY_BOX "firecracker.array"

/***
JSON.
@submodule firecracker.core
*/

enum { DEPTH_LIMIT = 200 };

#define EXACT_LIMIT 9007199254740992.0   /* 2^53: from here on a double may stand for another integer */

/* A tree and a text that are freed whatever happens. */
typedef struct {
  cJSON *tree;
  fc_buffer text;
  bool in_use;
} json_scratch;

static void scratch_free (json_scratch *s) {
  cJSON_Delete(s->tree);
  fc_buffer_free(&s->text);
  *s = (json_scratch){0};
}

static int scratch_close (lua_State *L) {
  scratch_free(luaL_checkudata(L, 1, TREE_BOX));
  return 0;
}

static json_scratch *push_scratch (lua_State *L) {
  json_scratch *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (json_scratch){0};
  luaL_setmetatable(L, TREE_BOX);
  return s;
}

/* The functions' own, as a finalizer costs more than a small text; a new one inside another call, which a finalizer
 * may make, or after one that ran out of memory. */
static json_scratch *take_scratch (lua_State *L) {
  json_scratch *s = lua_touserdata(L, lua_upvalueindex(1));
  if (s->in_use) {
    s = push_scratch(L);
    lua_toclose(L, -1);
  } else {
    lua_pushvalue(L, lua_upvalueindex(1));
  }
  s->in_use = true;
  return s;
}

/* ---- Lua to JSON ---- */

/* Where in the value we are, for messages: a chain of keys on the C stack. */
typedef struct path {
  const struct path *above;
  const char *key;       /* NULL: an index */
  lua_Integer index;
} path;

static void add_path (luaL_Buffer *b, const path *p) {
  if (!p)
    return;
  add_path(b, p->above);
  char text[64];
  if (p->key)
    snprintf(text, sizeof text, ".%.60s", p->key);
  else
    snprintf(text, sizeof text, "[%" PRId64 "]", (int64_t)p->index);
  luaL_addstring(b, text);
}

static int encode_error (lua_State *L, const path *p, const char *what) {
  luaL_Buffer b;
  json_scratch *s = luaL_testudata(L, 2, TREE_BOX);
  if (s)
    scratch_free(s);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "json: value");
  add_path(&b, p);
  luaL_addstring(&b, ": ");
  luaL_addstring(&b, what);
  luaL_pushresult(&b);
  luaL_where(L, 1);
  lua_insert(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

static const char NUL_BYTE[] = "a string with a NUL byte cannot be sent";

static char *reserve (lua_State *L, fc_buffer *out, size_t room) {
  char *to = fc_buffer_reserve(out, room);
  if (!to)
    luaL_error(L, "json: out of memory");
  return to;
}

static void put (lua_State *L, fc_buffer *out, const char *bytes, size_t n) {
  memcpy(reserve(L, out, n), bytes, n);
  fc_buffer_commit(out, n);
}

/* cJSON escapes; what needs no escape goes out as it is: cJSON looks at each byte twice. */
static void encode_text (lua_State *L, const char *text, size_t length, fc_buffer *out, const path *p) {
  enum { LONGEST = 6, MORE = 8 };   /* \u001f; quotes, its NUL, and what cJSON wants beyond */
  char *to = reserve(L, out, length + 2);
  if (fc_plain_copy(to + 1, text, length)) {
    to[0] = to[length + 1] = '"';
    fc_buffer_commit(out, length + 2);
    return;
  }
  if (strlen(text) != length)
    encode_error(L, p, NUL_BYTE);
  cJSON item = {.type = cJSON_String, .valuestring = (char *)text};
  size_t room = length * LONGEST + MORE;
  to = reserve(L, out, room);
  if (room > INT_MAX || !cJSON_PrintPreallocated(&item, to, (int)room, 0))
    luaL_error(L, "json: out of memory");
  fc_buffer_commit(out, strlen(to));
}

static void encode_string (lua_State *L, int index, fc_buffer *out, const path *p) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  encode_text(L, text, length, out, p);
}

static void encode_number (lua_State *L, int index, fc_buffer *out, const path *p) {
  char text[32];
  int exact;
  lua_Integer integer = lua_tointegerx(L, index, &exact);   /* 256.0 is an integer for the VMM */
  lua_Number number = lua_tonumber(L, index);
  if (exact) {
    snprintf(text, sizeof text, "%" PRId64, (int64_t)integer);
  } else {
    if (!isfinite(number))
      encode_error(L, p, "a number that is not finite cannot be sent");
    snprintf(text, sizeof text, "%.15g", number);
    if (strtod(text, NULL) != number)   /* cJSON would drop the last digits */
      snprintf(text, sizeof text, "%.17g", number);
    char *comma = strchr(text, ',');   /* the host's locale */
    if (comma)
      *comma = '.';
  }
  put(L, out, text, strlen(text));
}

/* Length of a list; -1 for an object, and how many members it has. Raises for a table that is neither. */
static lua_Integer list_length (lua_State *L, int index, size_t *members, const path *p) {
  lua_Integer count = 0, n = (lua_Integer)lua_rawlen(L, index);
  size_t strings = 0;
  int top = lua_gettop(L);
  bool marked = luaL_getmetafield(L, index, "__name") == LUA_TSTRING && strcmp(lua_tostring(L, -1), ARRAY_BOX) == 0;
  lua_settop(L, top);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING)
      strings++;
    else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n)
      count++;
    else
      encode_error(L, p, "a table with holes, or with a key that is neither a string nor a position, cannot be sent");
  }
  if (strings > 0 && (count > 0 || marked))
    encode_error(L, p, "a table that is both a list and an object cannot be sent");
  if (count != n)
    encode_error(L, p, "a list with holes cannot be sent");
  *members = strings;
  return n > 0 || marked ? n : -1;
}

static int compare_keys (const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void encode_value (lua_State *L, int index, fc_buffer *out, const path *p, int depth);

/* Keys in sorted order, so that the same table gives the same text. They stay on the stack: a finalizer, run for memory that is
 * wanted meanwhile, may take them out of the table. */
static void encode_object (lua_State *L, int index, size_t count, fc_buffer *out, const path *p, int depth) {
  enum { FEW = 16, MORE = 8 };
  const char *few[FEW], **keys = few;
  size_t at = 0;
  int top = lua_gettop(L);
  if (count > INT_MAX - MORE || !lua_checkstack(L, (int)count + MORE)) {
    lua_pushliteral(L, "not enough memory");   /* as Lua says it */
    lua_error(L);
  }
  if (count > FEW)
    keys = lua_newuserdatauv(L, count * sizeof *keys, 0);
  for (lua_pushnil(L); lua_next(L, index) && at < count; lua_pushvalue(L, -1)) {
    size_t length;
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      encode_error(L, p, "a table that has changed meanwhile cannot be sent");
    keys[at] = lua_tolstring(L, -1, &length);
    if (strlen(keys[at++]) != length)
      encode_error(L, p, NUL_BYTE);
  }
  qsort(keys, at, sizeof *keys, compare_keys);
  for (size_t i = 0; i < at; i++) {
    path here = {p, keys[i], 0};
    if (i > 0)
      put(L, out, ",", 1);
    encode_text(L, keys[i], strlen(keys[i]), out, &here);
    put(L, out, ":", 1);
    lua_getfield(L, index, keys[i]);
    encode_value(L, lua_gettop(L), out, &here, depth + 1);
    lua_pop(L, 1);
  }
  lua_settop(L, top);
}

static void encode_list (lua_State *L, int index, lua_Integer n, fc_buffer *out, const path *p, int depth) {
  for (lua_Integer i = 1; i <= n; i++) {
    path here = {p, NULL, i};
    if (i > 1)
      put(L, out, ",", 1);
    lua_rawgeti(L, index, i);
    encode_value(L, lua_gettop(L), out, &here, depth + 1);
    lua_pop(L, 1);
  }
}

static void encode_table (lua_State *L, int index, fc_buffer *out, const path *p, int depth) {
  size_t members;
  if (depth > DEPTH_LIMIT)
    encode_error(L, p, "tables nested too deeply, or a table inside itself");
  luaL_checkstack(L, 8, "json");
  lua_Integer n = list_length(L, index, &members, p);
  put(L, out, n < 0 ? "{" : "[", 1);
  if (n < 0)
    encode_object(L, index, members, out, p, depth);
  else
    encode_list(L, index, n, out, p, depth);
  put(L, out, n < 0 ? "}" : "]", 1);
}

static void encode_value (lua_State *L, int index, fc_buffer *out, const path *p, int depth) {
  switch (lua_type(L, index)) {
    case LUA_TTABLE:
      encode_table(L, index, out, p, depth);
      return;
    case LUA_TSTRING:
      encode_string(L, index, out, p);
      return;
    case LUA_TNUMBER:
      encode_number(L, index, out, p);
      return;
    case LUA_TBOOLEAN:
      lua_toboolean(L, index) ? put(L, out, "true", 4) : put(L, out, "false", 5);
      return;
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, index) == NULL) {
        put(L, out, "null", 4);
        return;
      }
      /* fall through */
    default:
      encode_error(L, p, lua_pushfstring(L, "a %s cannot be sent", luaL_typename(L, index)));
  }
}

/***
JSON text of a value. Keys are sorted; a float without a fraction is written as an integer. An empty
table is an object unless marked by `json.array`. Raises, naming the place, for what JSON cannot hold.
@function json.encode
@param value table, string, number, boolean or json.null
@tparam[opt] buffer buffer of `json.buffer`, to hold the text in the place of what it held
@treturn string|buffer
*/
static int json_encode (lua_State *L) {
  luaL_checkany(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    fc_buffer *out = luaL_checkudata(L, 2, FC_SCRATCH_BOX);
    lua_settop(L, 2);
    fc_buffer_clear(out);
    encode_value(L, 1, out, NULL, 0);
    return 1;
  }
  lua_settop(L, 1);
  json_scratch *s = take_scratch(L);   /* slot 2 */
  encode_value(L, 1, &s->text, NULL, 0);
  lua_pushlstring(L, fc_buffer_bytes(&s->text), s->text.length);
  scratch_free(s);
  return 1;
}

/***
A buffer for the text of a value that is sent: what `json.encode` writes, a request takes over without a copy.
@function json.buffer
@treturn buffer
*/
static int json_buffer (lua_State *L) {
  fc_new_buffer(L);
  return 1;
}

/* ---- JSON to Lua ---- */

static void push_value (lua_State *L, const cJSON *item, bool keep_null) {
  lua_Integer i = 0;
  double number = item->valuedouble;
  luaL_checkstack(L, 6, "json");
  switch (item->type) {
    case cJSON_Array:
      lua_createtable(L, cJSON_GetArraySize(item), 0);
      luaL_setmetatable(L, ARRAY_BOX);
      for (const cJSON *at = item->child; at; at = at->next) {
        push_value(L, at, keep_null);   /* its own nulls stay: a list has no holes */
        lua_rawseti(L, -2, ++i);
      }
      return;
    case cJSON_Object:
      lua_createtable(L, 0, cJSON_GetArraySize(item));
      for (const cJSON *at = item->child; at; at = at->next) {
        if (at->type == cJSON_NULL && !keep_null)
          continue;
        lua_pushstring(L, at->string);
        push_value(L, at, keep_null);
        lua_rawset(L, -3);
      }
      return;
    case cJSON_String:
      lua_pushstring(L, item->valuestring);
      return;
    case cJSON_Number:
      if (number > -EXACT_LIMIT && number < EXACT_LIMIT && floor(number) == number)
        lua_pushinteger(L, (lua_Integer)number);
      else
        lua_pushnumber(L, number);
      return;
    case cJSON_True:
    case cJSON_False:
      lua_pushboolean(L, item->type == cJSON_True);
      return;
    default:
      lua_pushlightuserdata(L, NULL);
  }
}

/* The place of an escaped NUL, which cJSON takes for the end of its string; NULL: there is none. */
static const char *find_nul (const char *text) {
  for (; (text = strchr(text, '\\')) && text[1]; text += 2)
    if (strncmp(text, "\\u0000", 6) == 0)
      return text;
  return NULL;
}

/***
Value of a JSON text. Integers from 2^53 on come as floats, as they may have lost digits. A string with
`\u0000` is refused: it would be cut there.
@function json.decode
@string text
@tparam[opt] table options `null = false` leaves object members that are null out
@return[1] the value; arrays are marked, null is json.null
@return[2] nil
@treturn[2] err code "json", with the position
*/
static int json_decode (lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  bool keep_null = true;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    if (lua_getfield(L, 2, "null") == LUA_TBOOLEAN)
      keep_null = lua_toboolean(L, -1);
  }
  lua_settop(L, 1);
  json_scratch *s = take_scratch(L);
  const char *end = text;
  s->tree = cJSON_ParseWithLengthOpts(text, length + 1, &end, 0);
  size_t at = end ? (size_t)(end - text) : 0;
  if (s->tree && end)
    at += strspn(end, " \t\r\n");
  if (at > strlen(text))   /* cJSON takes a NUL for a blank */
    at = strlen(text);
  const char *nul = find_nul(text);
  fc_error err;
  if (s->tree && nul) {
    fc_error_set(&err, "json", 0, "a string with a NUL byte (\\u0000) at byte %zu of %zu", (size_t)(nul - text) + 1, length);
    scratch_free(s);
    return fc_fail(L, &err);
  }
  if (!s->tree || at != length) {
    fc_error_set(&err, "json", 0, "not valid JSON at byte %zu of %zu", at + 1, length);
    scratch_free(s);
    return fc_fail(L, &err);
  }
  push_value(L, s->tree, keep_null);
  scratch_free(s);
  return 1;
}

/***
Mark a table as a JSON array (needed for an empty one).
@function json.array
@tparam[opt] table list
@treturn table the same table
*/
static int json_array (lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_setmetatable(L, ARRAY_BOX);
  return 1;
}

int fc_open_json (lua_State *L) {
  static const luaL_Reg functions[] = {
      {"encode", json_encode}, {"buffer", json_buffer}, {"decode", json_decode}, {"array", json_array}, {NULL, NULL}};
  static const luaL_Reg scratch[] = {{"__gc", scratch_close}, {"__close", scratch_close}, {NULL, NULL}};
  luaL_newmetatable(L, TREE_BOX);
  luaL_setfuncs(L, scratch, 0);
  luaL_newmetatable(L, ARRAY_BOX);
  lua_pop(L, 2);
  luaL_newlibtable(L, functions);
  push_scratch(L);
  luaL_setfuncs(L, functions, 1);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
