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

/***
Listen at a path. Nothing removes its name.
@function listener.open
@string path at most 107 bytes; one that exists is an error
@treturn[1] listener
@return[2] nil
@return[2] err
@see unix(7)
*/
static int listener_open (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  fc_listener *l = lua_newuserdatauv(L, sizeof *l, 0);
  *l = (fc_listener){.fd = -1};
  luaL_setmetatable(L, LISTENER_BOX);
  fc_error err;
  if (fc_listener_open(l, &fc_reactor_of(L)->reactor, path, &err) < 0)
    return fc_fail(L, &err);
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
      {"key", listener_key}, {"accept", listener_accept}, {"close", listener_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", listener_close}, {"__close", listener_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", listener_open}, {NULL, NULL}};
  fc_new_metatable(L, LISTENER_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
