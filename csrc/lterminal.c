/* lterminal: core.terminal, the user's terminal in raw mode for a while. @see csrc/sys/terminal.h */
#include "lcommon.h"
#include "sys/terminal.h"

#include <limits.h>

#define TERMINAL_BOX "firecracker.terminal"

static int check_number (lua_State *L) {
  lua_Integer number = luaL_checkinteger(L, 1);
  luaL_argcheck(L, number >= 0 && number <= INT_MAX, 1, "no descriptor");
  return (int)number;
}

/***
Terminals.
@submodule firecracker.core
*/

/***
Have a terminal give each key as it is, until the handle is closed, however that comes.
@function terminal.raw
@int number of a descriptor
@treturn[1] terminal
@return[2] nil
@return[2] err (`ENOTTY`: no terminal; `EPERM`: it belongs to another job than this process's)
@see tcsetattr(3)
*/
static int terminal_raw (lua_State *L) {
  int number = check_number(L);
  fc_terminal *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (fc_terminal){.fd = -1};
  luaL_setmetatable(L, TERMINAL_BOX);
  fc_error err;
  if (fc_terminal_raw(t, number, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Whether a descriptor is a terminal.
@function terminal.is
@int number of the descriptor
@treturn boolean
@see isatty(3)
*/
static int terminal_is (lua_State *L) {
  lua_pushboolean(L, fc_terminal_is(check_number(L)));
  return 1;
}

/***
Put the terminal back as it was; closing twice is no error.
@function terminal:close
*/
static int terminal_close (lua_State *L) {
  fc_terminal_restore(luaL_checkudata(L, 1, TERMINAL_BOX));
  return 0;
}

int fc_open_terminal (lua_State *L) {
  static const luaL_Reg methods[] = {{"close", terminal_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", terminal_close}, {"__close", terminal_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"raw", terminal_raw}, {"is", terminal_is}, {NULL, NULL}};
  fc_new_metatable(L, TERMINAL_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
