/* ltree: core.tree, what is done in a directory that somebody else may change meanwhile. @see csrc/sys/tree.h */
#include "lcommon.h"
#include "sys/tree.h"

#include <string.h>

enum { READ_LIMIT = 4096 };

/***
Trees: directories whose content is somebody else's, as a jail's. A path is relative to the tree's descriptor and leads
neither out of it nor through a symbolic link.
@submodule firecracker.core
*/

/* A path beneath a tree. */
static const char *check_path (lua_State *L, int argument) {
  const char *path = fc_check_text(L, argument);
  luaL_argcheck(L, path[0] != '\0' && path[0] != '/', argument, "relative path expected");
  return path;
}

static int root_of (lua_State *L) {
  return fc_check_fd(L, 1)->fd;
}

/***
A descriptor that only names what is at a path of the host's; links are followed.
@function tree.name
@string path
@treturn[1] fd
@return[2] nil
@return[2] err
@see open(2)
*/
static int tree_name (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_tree_name(path, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
A descriptor that only names what is in a tree.
@function tree.at
@tparam fd tree
@string path
@treturn[1] fd
@return[2] nil
@return[2] err (`ELOOP`: a link; `EXDEV`: leads out of the tree)
@see openat2(2)
*/
static int tree_at (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_tree_at(root, path, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
What a descriptor names, as `files.look` tells it.
@function tree.look
@tparam fd fd
@treturn[1] table
@return[2] nil
@return[2] err
*/
static int tree_look (lua_State *L) {
  struct stat st;
  fc_error err;
  if (fc_tree_look(root_of(L), &st, &err) < 0)
    return fc_fail(L, &err);
  fc_push_stat(L, &st);
  return 1;
}

/***
Set the owner of what a descriptor names.
@function tree.give
@tparam fd fd
@int uid
@int gid
@int[opt] mode
@treturn[1] boolean true
@return[2] nil
@return[2] err
@see fchownat(2)
*/
static int tree_give (lua_State *L) {
  int fd = root_of(L);
  uid_t uid = (uid_t)luaL_checkinteger(L, 2);
  gid_t gid = (gid_t)luaL_checkinteger(L, 3);
  fc_error err;
  return fc_result(L, fc_tree_give(fd, uid, gid, (long)luaL_optinteger(L, 4, -1), &err), &err);
}

/***
Make a directory in a tree, and those above it; one that is there will do.
@function tree.mkdir
@tparam fd tree
@string path
@int[opt=493] mode (493 is 0755)
@int[opt] uid whose all that is made will be, and the directory itself, with this mode, if it is there
@int[opt] gid
@treturn[1] boolean true
@return[2] nil
@return[2] err
*/
static int tree_mkdir (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  mode_t mode = (mode_t)luaL_optinteger(L, 3, 0755);
  uid_t uid = (uid_t)luaL_optinteger(L, 4, -1);
  gid_t gid = (gid_t)luaL_optinteger(L, 5, -1);
  fc_error err;
  return fc_result(L, fc_tree_mkdir(root, path, mode, uid, gid, &err), &err);
}

/***
Make a file in a tree; one that exists is an error.
@function tree.create
@tparam fd tree
@string path
@int[opt=384] mode (384 is 0600)
@treturn[1] fd open for writing
@return[2] nil
@return[2] err
*/
static int tree_create (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  mode_t mode = (mode_t)luaL_optinteger(L, 3, 0600);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_tree_create(root, path, mode, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Another name, in a tree, of what a descriptor names.
@function tree.link
@tparam fd tree
@string path
@tparam fd source
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EXDEV`: another file system)
@see linkat(2)
*/
static int tree_link (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  fc_error err;
  return fc_result(L, fc_tree_link(root, path, fc_check_fd(L, 3)->fd, &err), &err);
}

/***
The device that a descriptor names once more in a tree, for a user.
@function tree.mknod
@tparam fd tree
@string path
@tparam fd source
@int uid
@int gid
@int mode
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EPERM`: another file has its name by then)
@see mknodat(2)
*/
static int tree_mknod (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  int source = fc_check_fd(L, 3)->fd;
  uid_t uid = (uid_t)luaL_checkinteger(L, 4);
  gid_t gid = (gid_t)luaL_checkinteger(L, 5);
  mode_t mode = (mode_t)luaL_checkinteger(L, 6);
  fc_error err;
  return fc_result(L, fc_tree_mknod(root, path, source, uid, gid, mode, &err), &err);
}

/***
Mount what a descriptor names over a file of a tree.
@function tree.bind
@tparam fd tree
@string path
@tparam fd source
@bool[opt=false] read_only
@int[opt] pid of a process whose root the tree is, to mount there instead of here
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ESRCH`: there is no such process, or its root is another)
@see move_mount(2)
*/
static int tree_bind (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  int source = fc_check_fd(L, 3)->fd;
  fc_error err;
  pid_t in = (pid_t)luaL_optinteger(L, 5, 0);
  return fc_result(L, fc_tree_bind(root, path, source, lua_toboolean(L, 4), in, &err), &err);
}

/***
The beginning of a file of root's in a tree.
@function tree.read
@tparam fd tree
@string path
@treturn[1] string at most 4096 bytes
@return[2] nil
@return[2] err (`EPERM`: not a plain file of root's)
*/
static int tree_read (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  fc_buffer *b = fc_new_scratch(L);
  fc_error err;
  if (fc_tree_read(root, path, READ_LIMIT, b, &err) < 0)
    return fc_fail(L, &err);
  lua_pushlstring(L, fc_buffer_bytes(b), b->length);
  return 1;
}

/***
Remove something of a tree with all below it and what is mounted there.
@function tree.remove
@tparam fd tree
@string path what is gone is no error
@int[opt=256] budget how many entries now
@treturn[1] boolean whether it is gone; false: call again
@return[2] nil
@return[2] err
@see unlinkat(2)
*/
static int tree_remove (lua_State *L) {
  int root = root_of(L);
  const char *path = check_path(L, 2);
  fc_error err;
  int rc = fc_tree_remove(root, path, (int)luaL_optinteger(L, 3, 256), &err);
  if (rc < 0)
    return fc_fail(L, &err);
  lua_pushboolean(L, rc == 0);
  return 1;
}

/***
The names in a tree's topmost directory.
@function tree.list
@tparam fd tree
@treturn[1] {string,...} in no order
@return[2] nil
@return[2] err
*/
static int tree_list (lua_State *L) {
  int root = root_of(L), count = 0;
  fc_buffer *b = fc_new_scratch(L);
  fc_error err;
  if (fc_tree_list(root, b, &err) < 0)
    return fc_fail(L, &err);
  lua_newtable(L);
  for (const char *name = fc_buffer_bytes(b), *end = name + b->length; name < end; name += strlen(name) + 1) {
    lua_pushstring(L, name);
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

/***
Begin to copy a file into another one; see `copy:step` of @{files.copy}.
@function tree.copy
@tparam fd source names the original, a plain file
@tparam fd to open for writing, empty; taken over
@bool[opt=false] share by sharing the original's blocks, or not at all
@treturn[1] copy
@return[2] nil
@return[2] err
@see ioctl_ficlone(2)
*/
static int tree_copy (lua_State *L) {
  int source = root_of(L);
  fc_fd_box *to = fc_check_fd(L, 2);
  bool share = lua_toboolean(L, 3);
  fc_sparse *s = fc_new_copy(L);
  fc_error err;
  int fd = to->fd;
  to->fd = -1;
  if (fc_sparse_fill(s, source, fd, share, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

int fc_open_tree (lua_State *L) {
  static const luaL_Reg functions[] = {
      {"name", tree_name},   {"at", tree_at},       {"look", tree_look}, {"give", tree_give}, {"mkdir", tree_mkdir},
      {"create", tree_create}, {"link", tree_link}, {"mknod", tree_mknod}, {"bind", tree_bind}, {"read", tree_read},
      {"remove", tree_remove}, {"list", tree_list}, {"copy", tree_copy}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
