/* lsignals: core.signals, receive chosen signals through the reactor. Opt-in. @see csrc/sys/signals.h */
#define _GNU_SOURCE
#include "lcommon.h"
#include "sys/signals.h"

#include <string.h>

#define SIGNALS_BOX "firecracker.signals"

/***
Signals.
@submodule firecracker.core
*/

static fc_signals *check_signals (lua_State *L) {
  fc_signals *s = luaL_checkudata(L, 1, SIGNALS_BOX);
  luaL_argcheck(L, s->reactor, 1, "closed signals");
  return s;
}

/***
Receive signals here instead of by their handlers, until it is closed.
@function signals.open
@tparam {string|integer,...} list such as { "INT", "TERM" }
@treturn[1] signals
@return[2] nil
@return[2] err
@see signalfd(2)
*/
static int signals_open (lua_State *L) {
  sigset_t set;
  luaL_checktype(L, 1, LUA_TTABLE);
  sigemptyset(&set);
  for (lua_Integer i = 1; lua_geti(L, 1, i) != LUA_TNIL; i++) {
    sigaddset(&set, fc_check_signal(L, -1, 1));
    lua_pop(L, 1);
  }
  fc_signals *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (fc_signals){.fd = -1};
  luaL_setmetatable(L, SIGNALS_BOX);
  fc_error err;
  if (fc_signals_open(s, &fc_reactor_of(L)->reactor, &set, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
The key that fires when a signal has come.
@function signals:key
@treturn integer
*/
static int signals_key (lua_State *L) {
  lua_pushinteger(L, check_signals(L)->wake.key);
  return 1;
}

/* Name and number. */
static int push_signal (lua_State *L, int n) {
  const char *name = sigabbrev_np(n);
  if (name)
    lua_pushstring(L, name);
  else
    lua_pushfstring(L, "%d", n);
  lua_pushinteger(L, n);
  return 2;
}

/***
Look a signal up.
@function signals.find
@tparam integer|string signal 15, "TERM" or "SIGTERM"; an unknown one raises
@treturn string its name without SIG; of a real-time signal its number
@treturn integer its number
*/
static int signals_find (lua_State *L) {
  return push_signal(L, fc_check_signal(L, 1, 1));
}

/***
Take the next signal; one that came several times before it was taken is told once.
@function signals:next
@treturn ?string its name without SIG; nil when none is there
@treturn ?integer its number
*/
static int signals_next (lua_State *L) {
  int n = fc_signals_next(check_signals(L));
  return n == 0 ? 0 : push_signal(L, n);
}

/***
Let the signals go their old way; closing twice is no error.
@function signals:close
*/
static int signals_close (lua_State *L) {
  fc_signals_close(luaL_checkudata(L, 1, SIGNALS_BOX));
  return 0;
}

int fc_open_signals (lua_State *L) {
  static const luaL_Reg methods[] = {
      {"key", signals_key}, {"next", signals_next}, {"close", signals_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", signals_close}, {"__close", signals_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", signals_open}, {"find", signals_find}, {NULL, NULL}};
  fc_new_metatable(L, SIGNALS_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
