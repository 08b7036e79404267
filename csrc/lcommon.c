/* lcommon: see lcommon.h. */
#define _GNU_SOURCE
#include "lcommon.h"

#include <signal.h>
#include <string.h>

static void push_error (lua_State *L, const fc_error *err) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, err->code);
  lua_setfield(L, -2, "code");
  lua_pushstring(L, err->message);
  lua_setfield(L, -2, "message");
  const char *name = err->errnum ? fc_error_name(err->errnum) : NULL;
  if (name) {
    lua_pushstring(L, name);
    lua_setfield(L, -2, "errno");
  }
  luaL_newmetatable(L, FC_ERROR_BOX);   /* errors.lua fills it */
  lua_setmetatable(L, -2);
}

int fc_fail (lua_State *L, const fc_error *err) {
  lua_pushnil(L);
  push_error(L, err);
  return 2;
}

int fc_result (lua_State *L, int rc, const fc_error *err) {
  if (rc < 0)
    return fc_fail(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

fc_reactor_box *fc_check_reactor (lua_State *L, int argument) {
  fc_reactor_box *box = luaL_checkudata(L, argument, FC_REACTOR_BOX);
  if (strcmp(box->version, FC_VERSION) != 0)
    luaL_error(L, "firecracker: two versions are mixed (%s and %s)", box->version, FC_VERSION);
  return box;
}

void fc_new_metatable (lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods) {
  luaL_newmetatable(L, name);   /* anew or again: a test runner may empty package.loaded */
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

static int scratch_close (lua_State *L) {
  fc_buffer_free(luaL_checkudata(L, 1, FC_SCRATCH_BOX));
  return 0;
}

fc_buffer *fc_new_buffer (lua_State *L) {
  fc_buffer *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (fc_buffer){0};
  luaL_setmetatable(L, FC_SCRATCH_BOX);
  return b;
}

fc_buffer *fc_new_scratch (lua_State *L) {
  fc_buffer *b = fc_new_buffer(L);
  lua_toclose(L, -1);
  return b;
}

void fc_open_scratch (lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", scratch_close}, {"__close", scratch_close}, {NULL, NULL}};
  fc_new_metatable(L, FC_SCRATCH_BOX, none, metamethods);
}

const char *fc_check_text (lua_State *L, int argument) {
  size_t length;
  const char *text = luaL_checklstring(L, argument, &length);
  luaL_argcheck(L, strlen(text) == length, argument, "it has a NUL byte");
  return text;
}

int fc_check_signal (lua_State *L, int index, int argument) {
  int type = lua_type(L, index);
  if (type == LUA_TNUMBER) {
    lua_Integer n = lua_tointeger(L, index);   /* 0 for a fraction */
    if (n <= 0 || n >= NSIG)
      return luaL_argerror(L, argument, lua_pushfstring(L, "no such signal: %f", lua_tonumber(L, index)));
    return (int)n;
  }
  if (type != LUA_TSTRING)
    return luaL_argerror(L, argument, lua_pushfstring(L, "signal expected, got %s", lua_typename(L, type)));
  const char *name = lua_tostring(L, index);
  const char *bare = strncmp(name, "SIG", 3) == 0 ? name + 3 : name;
  for (int n = 1; n < 32; n++) {
    const char *known = sigabbrev_np(n);
    if (known && strcmp(known, bare) == 0)
      return n;
  }
  return luaL_argerror(L, argument, lua_pushfstring(L, "no such signal: '%s'", name));
}
