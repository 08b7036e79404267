/* lprocess: core.process, start a program and know how it ended. @see csrc/sys/process.h */
#include "lcommon.h"
#include "sys/process.h"

#include <limits.h>
#include <string.h>

#define PROCESS_BOX "firecracker.process"

enum { LIST_LIMIT = 4096 };

/***
Processes.
@submodule firecracker.core
*/

static fc_process *check_process (lua_State *L) {
  fc_process *p = luaL_checkudata(L, 1, PROCESS_BOX);
  luaL_argcheck(L, p->reactor, 1, "closed process");
  return p;
}

/* Raise about a field of spawn's options; `at` is its place in a list, 0 for the field itself. */
static int field_error (lua_State *L, const char *field, int at, const char *expected, int index) {
  const char *got = luaL_typename(L, index);
  const char *place = at ? lua_pushfstring(L, "%s[%d]", field, at) : field;
  return luaL_error(L, "spawn: %s: %s expected, got %s", place, expected, got);
}

/* A string without a NUL, which the kernel would take for its end. */
static const char *check_text (lua_State *L, int index, const char *field, int at) {
  size_t length;
  if (lua_type(L, index) != LUA_TSTRING)
    field_error(L, field, at, "string", index);
  const char *text = lua_tolstring(L, index, &length);
  if (strlen(text) != length)
    luaL_error(L, at ? "spawn: %s[%d]: has a NUL byte" : "spawn: %s: has a NUL byte", field, at);
  return text;
}

/* A list of strings at `index` as a NULL-terminated array; its memory and the strings stay alive on the stack. */
static const char **check_strings (lua_State *L, int index, const char *field) {
  if (!lua_istable(L, index))
    field_error(L, field, 0, "list of strings", index);
  lua_Integer n = luaL_len(L, index);
  if (n < 0 || n >= LIST_LIMIT)
    luaL_error(L, "spawn: %s: %I entries are too many", field, n);
  luaL_checkstack(L, (int)n + 8, field);   /* with what is pushed when it cannot be started */
  const char **list = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *list, 0);
  for (int i = 0; i < (int)n; i++) {
    lua_geti(L, index, i + 1);
    list[i] = check_text(L, -1, field, i + 1);
  }
  list[n] = NULL;
  return list;
}

/***
Start a program. It gets a session of its own, default signal handlers, an empty signal mask and no
descriptor but its three standard ones.
@function process.spawn
@tparam table options `path` (string; PATH is not searched), `argv` (list of strings, argv[0] first),
`environment` (list of "NAME=value"), `cwd` (string), `stdio` (list of three open fds for 0, 1, 2),
`no_file` (integer, RLIMIT_NOFILE; absent: inherited), `netns` (open fd of the network namespace to live in; absent:
the caller's), `kill_when_dropped` (boolean: the garbage collector ends it)
@treturn[1] process
@return[2] nil
@return[2] err (code "system": the step that failed and why; nothing runs)
@see clone(2), execve(2)
*/
static int process_spawn (lua_State *L) {
  fc_process_spec spec = {.netns = -1};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "path");
  lua_getfield(L, 1, "argv");
  lua_getfield(L, 1, "environment");
  lua_getfield(L, 1, "cwd");
  lua_getfield(L, 1, "stdio");
  lua_getfield(L, 1, "no_file");
  lua_getfield(L, 1, "kill_when_dropped");
  lua_getfield(L, 1, "netns");
  spec.path = check_text(L, 2, "path", 0);
  spec.cwd = lua_isnil(L, 5) ? NULL : check_text(L, 5, "cwd", 0);
  if (!lua_isnil(L, 7) && !lua_isinteger(L, 7))
    field_error(L, "no_file", 0, "integer", 7);
  spec.no_file = (long)lua_tointeger(L, 7);
  spec.kill_when_dropped = lua_toboolean(L, 8);
  if (!lua_isnil(L, 9)) {
    const fc_fd_box *fd = luaL_testudata(L, 9, FC_FD_BOX);
    if (!fd || fd->fd < 0)
      return luaL_error(L, "spawn: netns: open fd expected, got %s", fd ? "closed fd" : luaL_typename(L, 9));
    spec.netns = fd->fd;
  }
  if (!lua_istable(L, 6))
    field_error(L, "stdio", 0, "list of three open fds", 6);
  for (int i = 0; i < 3; i++) {
    lua_geti(L, 6, i + 1);
    const fc_fd_box *fd = luaL_testudata(L, -1, FC_FD_BOX);   /* it stays here: the table may be a proxy, which keeps none */
    if (!fd || fd->fd < 0)
      return luaL_error(L, "spawn: stdio[%d]: open fd expected, got %s", i + 1, fd ? "closed fd" : luaL_typename(L, -1));
    spec.stdio[i] = fd->fd;
  }
  spec.argv = (char *const *)check_strings(L, 3, "argv");
  spec.envp = (char *const *)check_strings(L, 4, "environment");
  fc_process *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (fc_process){.pidfd = -1};
  luaL_setmetatable(L, PROCESS_BOX);
  fc_error err;
  if (fc_process_start(p, &fc_reactor_of(L)->reactor, &spec, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Hold a process that is not a child of ours. Its exit status shows until it is reaped; from Linux 6.15 on, afterwards too (else "unknown").
@function process.adopt
@int pid
@bool[opt=false] kill_when_dropped the garbage collector ends it
@treturn[1] process
@return[2] nil
@return[2] err (`ESRCH`: there is none)
@see pidfd_open(2)
*/
static int process_adopt (lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  luaL_argcheck(L, pid > 0 && pid <= INT_MAX, 1, "no process id");
  bool kill_when_dropped = lua_toboolean(L, 2);
  fc_process *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (fc_process){.pidfd = -1};
  luaL_setmetatable(L, PROCESS_BOX);
  fc_error err;
  if (fc_process_adopt(p, &fc_reactor_of(L)->reactor, (pid_t)pid, kill_when_dropped, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
The process id; it may belong to another process once this one has ended.
@function process:pid
@treturn integer
*/
static int process_pid (lua_State *L) {
  lua_pushinteger(L, check_process(L)->pid);
  return 1;
}

/***
The key that fires when it has ended.
@function process:key
@treturn integer
*/
static int process_key (lua_State *L) {
  lua_pushinteger(L, check_process(L)->wake.key);
  return 1;
}

/***
How it ended.
@function process:poll
@treturn ?string nil while it runs; "exited"; "signaled"; "unknown" when somebody else reaped it
@treturn ?integer the exit status or the signal's number
@see waitid(2)
*/
static int process_poll (lua_State *L) {
  fc_process *p = check_process(L);
  switch (fc_process_poll(p)) {
    case FC_PROCESS_EXITED:
      lua_pushliteral(L, "exited");
      break;
    case FC_PROCESS_SIGNALED:
      lua_pushliteral(L, "signaled");
      break;
    case FC_PROCESS_UNKNOWN:
      lua_pushliteral(L, "unknown");
      return 1;
    default:
      return 0;
  }
  lua_pushinteger(L, p->status);
  return 2;
}

/***
Send a signal through the process's descriptor: never to another process. An ended process is no error.
@function process:signal
@tparam integer|string signal 15, "TERM" or "SIGTERM"
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see pidfd_send_signal(2)
*/
static int process_signal (lua_State *L) {
  fc_process *p = check_process(L);
  int signal = fc_check_signal(L, 2, 2);
  fc_error err;
  return fc_result(L, fc_process_signal(p, signal, &err), &err);
}

/***
Give up the handle; the process goes on. Closing twice is no error.
@function process:close
*/
static int process_close (lua_State *L) {
  fc_process_close(luaL_checkudata(L, 1, PROCESS_BOX));
  return 0;
}

static int process_gc (lua_State *L) {
  fc_process_drop(luaL_checkudata(L, 1, PROCESS_BOX));
  return 0;
}

static int process_tostring (lua_State *L) {
  fc_process *p = luaL_checkudata(L, 1, PROCESS_BOX);
  lua_pushfstring(L, p->reactor ? "<process %d>" : "<process closed>", (int)p->pid);
  return 1;
}

int fc_open_process (lua_State *L) {
  static const luaL_Reg methods[] = {{"pid", process_pid},       {"key", process_key},     {"poll", process_poll},
                                     {"signal", process_signal}, {"close", process_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", process_gc}, {"__close", process_close}, {"__tostring", process_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"spawn", process_spawn}, {"adopt", process_adopt}, {NULL, NULL}};
  fc_new_metatable(L, PROCESS_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
