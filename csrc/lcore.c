/* lcore: the module firecracker.core, the mechanism under the SDK. Opening it again in the same state is
 * allowed: nothing is kept in C variables. It does not load libcurl; firecracker.core.http does. */
#include "lcommon.h"
#include "sys/clock.h"

/***
The C core. Handles it returns are closed by `close`, by `<close>` and by the garbage collector; a
failure is `nil, err`; wrong arguments and closed handles raise.
@module firecracker.core
*/

/***
The time on the clock that all deadlines use.
@function now
@treturn number seconds of CLOCK_MONOTONIC
@see clock_gettime(2)
*/
static int core_now (lua_State *L) {
  lua_pushnumber(L, fc_now());
  return 1;
}

LUAMOD_API __attribute__ ((visibility("default"))) int luaopen_firecracker_core (lua_State *L) {
  static const luaL_Reg parts[] = {{"fd", fc_open_fd},           {"files", fc_open_files},
                                   {"json", fc_open_json},       {"listener", fc_open_listener},
                                   {"process", fc_open_process}, {"reactor", fc_open_reactor},
                                   {"signals", fc_open_signals}, {"stream", fc_open_stream},
                                   {"terminal", fc_open_terminal}, {"tree", fc_open_tree},
                                   {"watch", fc_open_watch},
                                   {NULL, NULL}};
  luaL_checkversion(L);
  lua_newtable(L);
  for (const luaL_Reg *part = parts; part->name; part++) {
    part->func(L);
    lua_setfield(L, -2, part->name);
  }
  lua_pushcfunction(L, core_now);
  lua_setfield(L, -2, "now");
  lua_pushliteral(L, FC_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}
