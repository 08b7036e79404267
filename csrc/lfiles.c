/* lfiles: core.files, what Lua's own library lacks on the file system. @see csrc/sys/files.h */
#include "lcommon.h"
#include "sys/files.h"
#include "sys/unix.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/***
Files.
@submodule firecracker.core
*/

/***
Make a directory with exactly this mode; one that exists is an error.
@function files.mkdir
@string path
@int[opt=448] mode (448 is 0700)
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see mkdir(2)
*/
static int files_mkdir (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_mkdir(fc_check_text(L, 1), (mode_t)luaL_optinteger(L, 2, 0700), &err), &err);
}

/***
Make a directory and those above it where missing; one that exists must be ours alone to write to.
@function files.mkdir_private
@string path
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EPERM`: it belongs to somebody else, or others can write to it)
*/
static int files_mkdir_private (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_mkdir_private(fc_check_text(L, 1), &err), &err);
}

/***
Make a FIFO; a name that exists is an error.
@function files.mkfifo
@string path
@int[opt=384] mode (384 is 0600)
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see mkfifo(3)
*/
static int files_mkfifo (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_mkfifo(fc_check_text(L, 1), (mode_t)luaL_optinteger(L, 2, 0600), &err), &err);
}

/***
Make an empty file; a name that exists is an error.
@function files.create
@string path
@int[opt=384] mode (384 is 0600)
@treturn[1] boolean true
@return[2] nil
@return[2] err
*/
static int files_create (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_create(fc_check_text(L, 1), (mode_t)luaL_optinteger(L, 2, 0600), &err), &err);
}

/***
Open a file; never waits for the other end of a FIFO (`ENXIO`: no reader).
@function files.open
@string path
@string mode "r"; "w" (made, emptied); "a" (made, appended); "r+" (both; a FIFO opens without a peer)
@bool[opt=false] nofollow a link is an error (`ELOOP`), not followed
@treturn[1] fd
@return[2] nil
@return[2] err
@see open(2)
*/
static int files_open (lua_State *L) {
  static const char *const modes[] = {"r", "w", "a", "r+", NULL};
  static const int flags[] = {O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC, O_WRONLY | O_CREAT | O_APPEND,
                              O_RDWR | O_NONBLOCK};
  const char *path = fc_check_text(L, 1);
  int mode = luaL_checkoption(L, 2, NULL, modes);
  int nofollow = lua_toboolean(L, 3) ? O_NOFOLLOW : 0;
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_files_open(path, flags[mode] | nofollow, 0600, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Lock a file for as long as the descriptor is open; made where missing. Whoever has the lock may put another file in its
place, or remove it.
@function files.lock
@string path
@treturn[1] fd; false when somebody else has the lock
@return[2] nil
@return[2] err
@see flock(2)
*/
static int files_lock (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  int locked = fc_files_lock(path, &box->fd, &err);
  if (locked < 0)
    return fc_fail(L, &err);
  if (!locked)
    lua_pushboolean(L, 0);
  return 1;
}

/***
Open a pseudo-terminal in raw mode.
@function files.open_pty
@treturn[1] fd the master
@treturn[1] fd the slave
@return[2] nil
@return[2] err
@see pty(7)
*/
static int files_open_pty (lua_State *L) {
  fc_fd_box *master = fc_new_fd(L);
  fc_fd_box *slave = fc_new_fd(L);
  fc_error err;
  if (fc_files_open_pty(&master->fd, &slave->fd, &err) < 0)
    return fc_fail(L, &err);
  return 2;
}

/***
A descriptor of its own for one of this process's standard streams, so that flags set on it (O_NONBLOCK)
do not show here.
@function files.reopen
@int number 0, 1 or 2
@treturn[1] fd
@return[2] nil
@return[2] err
*/
static int files_reopen (lua_State *L) {
  lua_Integer number = luaL_checkinteger(L, 1);
  luaL_argcheck(L, number >= 0 && number <= 2, 1, "0, 1 or 2 expected");
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_files_reopen((int)number, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Remove a name that is no directory; one that is gone is no error.
@function files.unlink
@string path
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see unlink(2)
*/
static int files_unlink (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_unlink(fc_check_text(L, 1), &err), &err);
}

/***
Remove a directory and the plain entries in it, following no link. A directory inside it is an error
(`ENOTEMPTY`); one that is gone is none.
@function files.remove_directory
@string path
@treturn[1] boolean true
@return[2] nil
@return[2] err
*/
static int files_remove_directory (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_remove_directory(fc_check_text(L, 1), &err), &err);
}

/***
The names in a directory, in no order.
@function files.list
@string path no symbolic link
@treturn[1] {string,...}
@return[2] nil
@return[2] err
*/
static int files_list (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  fc_buffer *b = fc_new_scratch(L);
  fc_error err;
  if (fc_files_list(path, b, &err) < 0)
    return fc_fail(L, &err);
  lua_newtable(L);
  for (lua_Integer i = 1; b->length > 0; i++) {
    size_t n = strcspn(fc_buffer_bytes(b), "/");
    lua_pushlstring(L, fc_buffer_bytes(b), n);
    lua_rawseti(L, -2, i);
    fc_buffer_take(b, n + 1);
  }
  return 1;
}

/***
The last bytes of a regular file.
@function files.tail
@string path
@int limit bytes at most
@treturn[1] string
@return[2] nil
@return[2] err
*/
static int files_tail (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  lua_Integer limit = luaL_checkinteger(L, 2);
  luaL_argcheck(L, limit > 0 && limit <= 1 << 24, 2, "limit out of range");
  fc_buffer *b = fc_new_scratch(L);
  fc_error err;
  if (fc_files_tail(path, (size_t)limit, b, &err) < 0)
    return fc_fail(L, &err);
  lua_pushlstring(L, fc_buffer_bytes(b), b->length);
  return 1;
}

/***
An absolute form of a path, against the working directory.
@function files.absolute
@string path
@treturn[1] string
@return[2] nil
@return[2] err
*/
static int files_absolute (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  fc_buffer *b = fc_new_scratch(L);
  fc_error err;
  if (fc_files_absolute(path, b, &err) < 0)
    return fc_fail(L, &err);
  lua_pushlstring(L, fc_buffer_bytes(b), b->length);
  return 1;
}

void fc_push_stat (lua_State *L, const struct stat *st) {
  const char *type = S_ISREG(st->st_mode)    ? "file"
                     : S_ISDIR(st->st_mode)  ? "directory"
                     : S_ISLNK(st->st_mode)  ? "link"
                     : S_ISFIFO(st->st_mode) ? "fifo"
                     : S_ISSOCK(st->st_mode) ? "socket"
                     : S_ISCHR(st->st_mode)  ? "character"
                                            : "block";
  const struct { const char *name; lua_Integer value; } fields[] = {
      {"size", st->st_size}, {"mode", st->st_mode & 07777},        {"uid", st->st_uid},
      {"gid", st->st_gid},   {"device", (lua_Integer)st->st_dev}, {"inode", (lua_Integer)st->st_ino}};
  lua_createtable(L, 0, 8);
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushinteger(L, fields[i].value);
    lua_setfield(L, -2, fields[i].name);
  }
  lua_pushnumber(L, (lua_Number)st->st_mtim.tv_sec + (lua_Number)st->st_mtim.tv_nsec / 1e9);
  lua_setfield(L, -2, "mtime");
}

/***
What is at a path; a symbolic link is looked at itself.
@function files.look
@string path
@bool[opt=false] follow look at what a link leads to
@treturn[1] table `type` ("file", "directory", "link", "fifo", "socket", "character", "block"), `size` (bytes),
`mode` (permission bits), `uid`, `gid`, `device`, `inode`, `mtime` (seconds)
@return[2] nil
@return[2] err
@see lstat(2)
*/
static int files_look (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  struct stat st;
  fc_error err;
  if (fc_files_look(path, lua_toboolean(L, 2), &st, &err) < 0)
    return fc_fail(L, &err);
  fc_push_stat(L, &st);
  return 1;
}

/***
The path of a file without symbolic links and "..".
@function files.canonical
@string path
@treturn[1] string
@return[2] nil
@return[2] err
@see realpath(3)
*/
static int files_canonical (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  fc_buffer *b = fc_new_scratch(L);
  fc_error err;
  if (fc_files_canonical(path, b, &err) < 0)
    return fc_fail(L, &err);
  lua_pushlstring(L, fc_buffer_bytes(b), b->length);
  return 1;
}

/***
Make a symbolic link; a name that exists is an error.
@function files.symlink
@string target what it leads to
@string path
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see symlink(2)
*/
static int files_symlink (lua_State *L) {
  const char *target = fc_check_text(L, 1);
  fc_error err;
  return fc_result(L, fc_files_symlink(target, fc_check_text(L, 2), &err), &err);
}

/***
Whether this process may use a file, with its effective ids.
@function files.access
@string path
@string[opt=""] mode any of "r", "w", "x"; empty: that it exists
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see faccessat(2)
*/
static int files_access (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  const char *letters = luaL_optstring(L, 2, "");
  luaL_argcheck(L, letters[strspn(letters, "rwx")] == '\0', 2, "letters of \"rwx\" expected");
  int mode = (strchr(letters, 'r') ? R_OK : 0) | (strchr(letters, 'w') ? W_OK : 0) | (strchr(letters, 'x') ? X_OK : 0);
  fc_error err;
  return fc_result(L, fc_files_access(path, mode, &err), &err);
}

/***
Whether somebody listens at a Unix socket, which may have a long path: connects and hangs up.
@function files.listens
@string path
@treturn[1] boolean
@treturn[1] ?int the process that listens; nil where that cannot be told: its queue is full, or it lives in a process
namespace that is not seen from here
@return[2] nil
@return[2] err (`ENOENT`, …; a socket that refuses is no error)
@see connect(2)
@see unix(7), SO_PEERCRED
*/
static int files_listens (lua_State *L) {
  fc_error err;
  bool listens;
  pid_t pid;
  if (fc_unix_listens(fc_check_text(L, 1), &listens, &pid, &err) < 0)
    return fc_fail(L, &err);
  lua_pushboolean(L, listens);
  if (pid <= 0)
    return 1;
  lua_pushinteger(L, pid);
  return 2;
}

/***
Random hexadecimal digits.
@function files.random_hex
@int bytes 1 to 32; each gives two digits
@treturn[1] string
@return[2] nil
@return[2] err
@see getrandom(2)
*/
static int files_random_hex (lua_State *L) {
  unsigned char bytes[32];
  char text[65];
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 1 && n <= 32, 1, "1 to 32 expected");
  fc_error err;
  if (fc_files_random(bytes, (size_t)n, &err) < 0)
    return fc_fail(L, &err);
  for (lua_Integer i = 0; i < n; i++) {
    text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
    text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
  }
  lua_pushlstring(L, text, (size_t)n * 2);
  return 1;
}

/***
The effective user id.
@function files.euid
@treturn integer
*/
static int files_euid (lua_State *L) {
  lua_pushinteger(L, fc_files_euid());
  return 1;
}

/***
Have a file or directory, whatever of it is not there yet, written to the disk.
@function files.sync
@string path
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see fsync(2)
*/
static int files_sync (lua_State *L) {
  fc_error err;
  return fc_result(L, fc_files_sync(fc_check_text(L, 1), &err), &err);
}

int fc_open_files (lua_State *L) {
  static const luaL_Reg functions[] = {
      {"mkdir", files_mkdir},       {"mkdir_private", files_mkdir_private},
      {"mkfifo", files_mkfifo},     {"create", files_create},
      {"open", files_open},         {"open_pty", files_open_pty},
      {"reopen", files_reopen},     {"unlink", files_unlink},
      {"tail", files_tail},         {"remove_directory", files_remove_directory},
      {"absolute", files_absolute}, {"look", files_look},
      {"access", files_access},     {"random_hex", files_random_hex},
      {"euid", files_euid},         {"listens", files_listens},
      {"canonical", files_canonical}, {"symlink", files_symlink},
      {"sync", files_sync},         {"list", files_list},
      {"lock", files_lock},
      {NULL, NULL}};
  fc_open_scratch(L);
  luaL_newlib(L, functions);
  fc_add_copies(L);
  return 1;
}
