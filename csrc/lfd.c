/* lfd: descriptors as Lua values, closed with their handle. */
#include "lcommon.h"
#include "sys/files.h"

/***
Descriptors.
@submodule firecracker.core
*/

fc_fd_box *fc_new_fd (lua_State *L) {
  fc_fd_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->fd = -1;
  luaL_setmetatable(L, FC_FD_BOX);
  return box;
}

fc_fd_box *fc_check_fd (lua_State *L, int argument) {
  fc_fd_box *box = luaL_checkudata(L, argument, FC_FD_BOX);
  luaL_argcheck(L, box->fd >= 0, argument, "closed descriptor");
  return box;
}

/***
The descriptor's number.
@function fd:number
@treturn integer
*/
static int fd_number (lua_State *L) {
  lua_pushinteger(L, fc_check_fd(L, 1)->fd);
  return 1;
}

/***
Close it; closing twice is no error.
@function fd:close
*/
static int fd_close (lua_State *L) {
  fc_fd_box *box = luaL_checkudata(L, 1, FC_FD_BOX);
  fc_files_close(&box->fd);
  return 0;
}

static int fd_tostring (lua_State *L) {
  fc_fd_box *box = luaL_checkudata(L, 1, FC_FD_BOX);
  if (box->fd < 0)
    lua_pushliteral(L, "<fd closed>");
  else
    lua_pushfstring(L, "<fd %d>", box->fd);
  return 1;
}

int fc_open_fd (lua_State *L) {
  static const luaL_Reg methods[] = {{"number", fd_number}, {"close", fd_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", fd_close}, {"__close", fd_close}, {"__tostring", fd_tostring}, {NULL, NULL}};
  fc_new_metatable(L, FC_FD_BOX, methods, metamethods);
  lua_newtable(L);
  return 1;
}
