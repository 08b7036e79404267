/* lsparse: the copies of core.files. @see csrc/sys/sparse.h */
#include "lcommon.h"

#define COPY_BOX "firecracker.copy"

/***
Copies of large files, step by step.
@submodule firecracker.core
*/

fc_sparse *fc_new_copy (lua_State *L) {
  fc_sparse *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (fc_sparse){.from = -1, .to = -1};
  luaL_setmetatable(L, COPY_BOX);
  return s;
}

/***
Begin to copy a regular file without its holes; shares its blocks where the file system can. The new file is the caller's to
remove when a step fails.
@function files.copy
@string from links are followed
@string to a name that exists is an error
@int[opt=384] mode of the new file (384 is 0600)
@bool[opt=false] sync on the disk before the last step is done
@treturn[1] copy
@return[2] nil
@return[2] err
@see copy_file_range(2), ioctl_ficlone(2)
*/
static int files_copy (lua_State *L) {
  const char *from = fc_check_text(L, 1), *to = fc_check_text(L, 2);
  mode_t mode = (mode_t)luaL_optinteger(L, 3, 0600);
  bool sync = lua_toboolean(L, 4);
  fc_sparse *s = fc_new_copy(L);
  fc_error err;
  if (fc_sparse_copy(s, from, to, mode, sync, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Begin to write what one file holds over another of the same size; the holes of the first leave the second as it is.
@function files.merge
@string from
@string onto is changed in place
@bool[opt=false] sync on the disk before the last step is done
@treturn[1] copy
@return[2] nil
@return[2] err (`EINVAL`: sizes differ, or the file system does not tell holes from data page by page)
@see lseek(2)
*/
static int files_merge (lua_State *L) {
  const char *from = fc_check_text(L, 1), *onto = fc_check_text(L, 2);
  bool sync = lua_toboolean(L, 3);
  fc_sparse *s = fc_new_copy(L);
  fc_error err;
  if (fc_sparse_merge(s, from, onto, sync, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Copy on.
@function copy:step
@int[opt=8388608] most bytes, about
@treturn[1] boolean whether all is done
@treturn[1] integer bytes of the source that are behind
@treturn[1] integer its size
@return[2] nil
@return[2] err
*/
static int copy_step (lua_State *L) {
  fc_sparse *s = luaL_checkudata(L, 1, COPY_BOX);
  lua_Integer most = luaL_optinteger(L, 2, 8 << 20);
  luaL_argcheck(L, s->from >= 0, 1, "closed copy");
  luaL_argcheck(L, most > 0 && most <= 1 << 30, 2, "bytes out of range");
  fc_error err;
  bool done;
  if (fc_sparse_step(s, (size_t)most, &done, &err) < 0)
    return fc_fail(L, &err);
  lua_pushboolean(L, done);
  lua_pushinteger(L, done ? s->size : s->at);
  lua_pushinteger(L, s->size);
  return 3;
}

/***
Close both files, done or not; closing twice is no error.
@function copy:close
*/
static int copy_close (lua_State *L) {
  fc_sparse_close(luaL_checkudata(L, 1, COPY_BOX));
  return 0;
}

void fc_add_copies (lua_State *L) {
  static const luaL_Reg functions[] = {{"copy", files_copy}, {"merge", files_merge}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"step", copy_step}, {"close", copy_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", copy_close}, {"__close", copy_close}, {NULL, NULL}};
  fc_new_metatable(L, COPY_BOX, methods, metamethods);
  luaL_setfuncs(L, functions, 0);
}
