/* fork: for specs: what a host program in C may do to the Lua state it holds. */
#include <lauxlib.h>
#include <lua.h>

#include <sys/wait.h>
#include <unistd.h>

/* fork () -> 0 in the child, the child's pid in the parent */
static int fork_fork (lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

/* exit (status): no finalizer, no buffered output */
static int fork_exit (lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
}

/* wait (pid) -> its exit status, or 128 and the signal */
static int fork_wait (lua_State *L) {
  int status = 0;
  if (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
    return luaL_error(L, "no such child");
  lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return 1;
}

LUAMOD_API int luaopen_spec_support_fork (lua_State *L) {
  static const luaL_Reg functions[] = {{"fork", fork_fork}, {"exit", fork_exit}, {"wait", fork_wait}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
