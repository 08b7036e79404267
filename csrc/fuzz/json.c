/* json: any text decodes to a value or an error; a value's text decodes to a value with the same text. The first
 * byte says whether nulls are kept. */
#include "fuzz.h"
#include "lcommon.h"

#include <lualib.h>
#include <string.h>

LUAMOD_API int luaopen_firecracker_core (lua_State *L);

/* ... text -> ... encoded text; false: it is refused, which is told by nil and an error, or raised when encoding */
static int round_trip (lua_State *L, int keep_null) {
  lua_getfield(L, 1, "decode");
  lua_insert(L, -2);
  lua_createtable(L, 0, 1);
  lua_pushboolean(L, keep_null);
  lua_setfield(L, -2, "null");
  FUZZ_CHECK(lua_pcall(L, 2, 2, 0) == LUA_OK);
  if (lua_isnil(L, -2)) {
    FUZZ_CHECK(lua_istable(L, -1));
    return 0;
  }
  FUZZ_CHECK(lua_isnil(L, -1));
  lua_pop(L, 1);
  lua_getfield(L, 1, "encode");
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK)
    return 1;
  /* read, but not written: too deep, or a number too large for JSON */
  FUZZ_CHECK(strstr(lua_tostring(L, -1), "not finite") || strstr(lua_tostring(L, -1), "too deeply"));
  return 0;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  static lua_State *L;
  if (!L) {
    L = luaL_newstate();
    luaL_openlibs(L);
    luaL_requiref(L, "firecracker.core", luaopen_firecracker_core, 0);
    lua_getfield(L, -1, "json");
    lua_replace(L, 1);
  }
  if (size == 0)
    return 0;
  lua_settop(L, 1);
  lua_pushlstring(L, (const char *)data + 1, size - 1);
  if (round_trip(L, data[0] & 1)) {
    lua_pushvalue(L, -1);
    FUZZ_CHECK(round_trip(L, data[0] & 1));
    FUZZ_CHECK(lua_rawequal(L, -1, -2));
  }
  lua_settop(L, 1);
  lua_gc(L, LUA_GCCOLLECT);   /* a leak shows in the run that made it */
  return 0;
}
