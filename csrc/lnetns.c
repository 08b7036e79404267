/* lnetns: core.net.netns, network namespaces. @see csrc/sys/netns.h */
#include "lnet.h"
#include "sys/netns.h"

#include <string.h>

/***
Network namespaces.
@submodule firecracker.core.net
*/

/***
Make a network namespace.
@function netns.create
@string[opt] name as `ip netns` shows it; without one it lasts as long as a descriptor of it, or a process in it
@treturn[1] fd
@return[2] nil
@return[2] err (`EEXIST`: the name is taken; `EPERM`: CAP_SYS_ADMIN is missing)
*/
static int netns_create (lua_State *L) {
  const char *name = lua_isnoneornil(L, 1) ? NULL : fc_check_text(L, 1);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_netns_create(name, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Open a network namespace.
@function netns.open
@string name as `ip netns` shows it, or a path with a slash: `/proc/PID/ns/net`
@treturn[1] fd
@return[2] nil
@return[2] err (`ENOENT`: no such namespace)
*/
static int netns_open (lua_State *L) {
  const char *name = fc_check_text(L, 1);
  fc_fd_box *box = fc_new_fd(L);
  fc_error err;
  if (fc_netns_open(name, &box->fd, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Take a namespace's name away; what is in it goes on until its last process and descriptor are gone.
@function netns.delete
@string name
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ENOENT`: no such namespace)
*/
static int netns_delete (lua_State *L) {
  const char *name = fc_check_text(L, 1);
  fc_error err;
  return fc_result(L, fc_netns_delete(name, &err), &err);
}

/***
The names of namespaces, in no order.
@function netns.list
@treturn[1] {string,...}
@return[2] nil
@return[2] err
*/
static int netns_list (lua_State *L) {
  fc_buffer *names = fc_new_scratch(L);
  fc_error err;
  if (fc_netns_list(names, &err) < 0)
    return fc_fail(L, &err);
  lua_newtable(L);
  const char *at = fc_buffer_bytes(names), *end = at + names->length;
  for (lua_Integer i = 1; at < end; i++, at += strlen(at) + 1) {
    lua_pushstring(L, at);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

int fc_open_netns (lua_State *L) {
  static const luaL_Reg functions[] = {
      {"create", netns_create}, {"open", netns_open}, {"delete", netns_delete}, {"list", netns_list}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
