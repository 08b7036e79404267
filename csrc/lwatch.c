/* lwatch: core.watch, know when a name appears in a directory. @see csrc/sys/watch.h */
#include "lcommon.h"

#include <string.h>

#define WATCH_BOX "firecracker.watch"

/***
Watches on paths.
@submodule firecracker.core
*/

static fc_watch *check_watch (lua_State *L) {
  fc_watch *w = luaL_checkudata(L, 1, WATCH_BOX);
  luaL_argcheck(L, w->watcher, 1, "closed watch");
  return w;
}

/***
Watch a directory for a name; a name that is there already has appeared.
@function watch.open
@string directory
@string name without a slash
@treturn[1] watch
@return[2] nil
@return[2] err
@see inotify(7)
*/
static int watch_open (lua_State *L) {
  const char *directory = fc_check_text(L, 1);
  const char *name = fc_check_text(L, 2);
  luaL_argcheck(L, name[0] != '\0' && !strchr(name, '/'), 2, "one name without a slash expected");
  fc_reactor_box *box = fc_reactor_of(L);
  fc_watch *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (fc_watch){0};
  luaL_setmetatable(L, WATCH_BOX);
  fc_error err;
  if ((box->watcher.fd < 0 && fc_watcher_open(&box->watcher, &box->reactor, &err) < 0) ||
      fc_watch_open(w, &box->watcher, directory, name, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
The key that fires when the name has appeared.
@function watch:key
@treturn integer
*/
static int watch_key (lua_State *L) {
  lua_pushinteger(L, check_watch(L)->wake.key);
  return 1;
}

/***
Whether the name has appeared since the watch was opened, or was there then.
@function watch:appeared
@treturn boolean
*/
static int watch_appeared (lua_State *L) {
  lua_pushboolean(L, check_watch(L)->appeared);
  return 1;
}

/***
Stop watching; closing twice is no error.
@function watch:close
*/
static int watch_close (lua_State *L) {
  fc_watch_close(luaL_checkudata(L, 1, WATCH_BOX));
  return 0;
}

int fc_open_watch (lua_State *L) {
  static const luaL_Reg methods[] = {
      {"key", watch_key}, {"appeared", watch_appeared}, {"close", watch_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", watch_close}, {"__close", watch_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", watch_open}, {NULL, NULL}};
  fc_new_metatable(L, WATCH_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
