/* lcommon: what the bindings share: errors on their way to Lua, the reactor's box, descriptors' boxes.
 * Bindings take arguments and return values; system calls are made in csrc/sys. */
#ifndef FC_LCOMMON_H
#define FC_LCOMMON_H

#include "sys/buffer.h"
#include "sys/error.h"
#include "sys/reactor.h"
#include "sys/sparse.h"
#include "sys/watch.h"

#include <lauxlib.h>
#include <lua.h>
#include <sys/stat.h>

#pragma GCC visibility push(hidden)

#define FC_VERSION "0.1.0"
#define FC_REACTOR_BOX "firecracker.reactor"
#define FC_FD_BOX "firecracker.fd"
#define FC_SCRATCH_BOX "firecracker.buffer"
#define FC_ERROR_BOX "firecracker.error"

/* The reactor of a Lua state. Its layout is shared by two objects, hence the version in it. */
typedef struct {
  char version[16];
  fc_reactor reactor;
  fc_watcher watcher;
} fc_reactor_box;

typedef struct { int fd; } fc_fd_box;   /* -1: closed */

/* Push nil and an error object made of err; returns 2. */
int fc_fail (lua_State *L, const fc_error *err);
/* Push true, or nil and an error object where rc is negative. */
int fc_result (lua_State *L, int rc, const fc_error *err);

/* The state's reactor, made at the first call of luaopen_firecracker_core. */
fc_reactor_box *fc_reactor_of (lua_State *L);
/* Argument 1 as a reactor made by this very version. */
fc_reactor_box *fc_check_reactor (lua_State *L, int argument);

/* A new closed descriptor's box on the stack. */
fc_fd_box *fc_new_fd (lua_State *L);
/* An open descriptor's box; raises for a closed one. */
fc_fd_box *fc_check_fd (lua_State *L, int argument);

/* An empty buffer on the stack. */
fc_buffer *fc_new_buffer (lua_State *L);
/* The same, freed at the end of the function whatever happens. */
fc_buffer *fc_new_scratch (lua_State *L);
/* Make its metatable. */
void fc_open_scratch (lua_State *L);
/* A closed copy on the stack; see files.copy. */
fc_sparse *fc_new_copy (lua_State *L);
/* Add what makes copies to the table on the stack. */
void fc_add_copies (lua_State *L);
/* Push a table of what is at a path; see files.look. */
void fc_push_stat (lua_State *L, const struct stat *st);
/* Make (once) the metatable `name`; methods go to a table behind __index, metamethods into it. */
void fc_new_metatable (lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods);
/* A string without a NUL byte, which would cut it: a path, a name. */
const char *fc_check_text (lua_State *L, int argument);
/* Signal number of the value at index: a number, "TERM" or "SIGTERM"; for others raises about the argument. */
int fc_check_signal (lua_State *L, int index, int argument);

/* Sub-tables of firecracker.core: each pushes one table. */
int fc_open_fd (lua_State *L);
int fc_open_files (lua_State *L);
int fc_open_json (lua_State *L);
int fc_open_listener (lua_State *L);
int fc_open_process (lua_State *L);
int fc_open_reactor (lua_State *L);
int fc_open_signals (lua_State *L);
int fc_open_stream (lua_State *L);
int fc_open_terminal (lua_State *L);
int fc_open_tree (lua_State *L);
int fc_open_watch (lua_State *L);

#pragma GCC visibility pop
#endif
