/* llistener: core.listener, a socket that others connect to. @see csrc/sys/listener.h */
#include "lcommon.h"
#include "sys/listener.h"

#define LISTENER_BOX "firecracker.listener"

/***
Listening sockets.
@submodule firecracker.core
*/

static fc_listener *check_listener (lua_State *L) {
  fc_listener *l = luaL_checkudata(L, 1, LISTENER_BOX);
  luaL_argcheck(L, l->reactor, 1, "closed listener");
  return l;
}

/* An integer field of the table at 2, or `absent`. */
static lua_Integer field (lua_State *L, const char *name, lua_Integer absent) {
  lua_Integer n = absent;
  if (lua_getfield(L, 2, name) != LUA_TNIL) {
    n = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    luaL_argcheck(L, n >= 0 && n < UINT32_MAX, 2, name);
  }
  lua_pop(L, 1);
  return n;
}

/***
Listen at a path. Nothing removes its name.
@function listener.open
@string path of any length; one that exists is an error; behind its "//" no link is followed
@tparam[opt] table options `mode` (of the name, less the umask; default: what the umask leaves), `uid` and `gid` (its owner),
`replace_stale` (boolean: takes the place of a socket that nobody listens at)
@treturn[1] listener
@return[2] nil
@return[2] err
@see unix(7)
*/
static int listener_open (lua_State *L) {
  fc_listener_spec spec = {.path = fc_check_text(L, 1), .uid = (uid_t)-1, .gid = (gid_t)-1};
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    spec.mode = (mode_t)field(L, "mode", 0);
    spec.uid = (uid_t)field(L, "uid", -1);
    spec.gid = (gid_t)field(L, "gid", -1);
    lua_getfield(L, 2, "replace_stale");
    spec.replace_stale = lua_toboolean(L, -1);
  }
  fc_listener *l = lua_newuserdatauv(L, sizeof *l, 0);
  *l = (fc_listener){.fd = -1};
  luaL_setmetatable(L, LISTENER_BOX);
  fc_error err;
  if (fc_listener_open(l, &fc_reactor_of(L)->reactor, &spec, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
The descriptor's number.
@function listener:fd
@treturn integer
*/
static int listener_fd (lua_State *L) {
  lua_pushinteger(L, check_listener(L)->fd);
  return 1;
}

/***
The key that fires when connections have come.
@function listener:key
@treturn integer
*/
static int listener_key (lua_State *L) {
  lua_pushinteger(L, check_listener(L)->wake.key);
  return 1;
}

/***
Take the next connection.
@function listener:accept
@treturn[1] fd for `stream.open`
@treturn[2] boolean false when none has come yet
@return[3] nil
@return[3] err
*/
static int listener_accept (lua_State *L) {
  fc_listener *l = check_listener(L);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_listener_accept(l, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  if (box->fd < 0)
    lua_pushboolean(L, 0);
  return 1;
}

/***
Stop listening; closing twice is no error.
@function listener:close
*/
static int listener_close (lua_State *L) {
  fc_listener_close(luaL_checkudata(L, 1, LISTENER_BOX));
  return 0;
}

int fc_open_listener (lua_State *L) {
  static const luaL_Reg methods[] = {
      {"key", listener_key}, {"fd", listener_fd}, {"accept", listener_accept}, {"close", listener_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", listener_close}, {"__close", listener_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", listener_open}, {NULL, NULL}};
  fc_new_metatable(L, LISTENER_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
