/* lnetlink_redirect: redirects from one link to another. @see csrc/sys/netlink_objects.h */
#include "lnet.h"

/***
Redirects.
@submodule firecracker.core.net
*/

/***
Give a link the ingress queueing discipline that redirects need.
@function netlink:add_ingress
@string link
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: it has it)
*/
static int netlink_add_ingress (lua_State *L) {
  fc_netlink *n = fc_check_netlink(L);
  fc_error err;
  return fc_result(L, fc_netlink_add_ingress(n, fc_check_link(L, 2, "link"), &err), &err);
}

/***
Take it away, the redirects with it.
@function netlink:delete_ingress
@string link
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ENOENT`, `EINVAL`: it has none)
*/
static int netlink_delete_ingress (lua_State *L) {
  fc_netlink *n = fc_check_netlink(L);
  fc_error err;
  return fc_result(L, fc_netlink_delete_ingress(n, fc_check_link(L, 2, "link"), &err), &err);
}

/***
Send all that comes in at one link out at another.
@function netlink:add_redirect
@string from has the ingress queueing discipline
@string to
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: there is one)
*/
static int netlink_add_redirect (lua_State *L) {
  fc_netlink *n = fc_check_netlink(L);
  const char *from = fc_check_link(L, 2, "from"), *to = fc_check_link(L, 3, "to");
  fc_error err;
  return fc_result(L, fc_netlink_add_redirect(n, from, to, &err), &err);
}

/***
List the redirects of a link.
@function netlink:redirects
@string link
@treturn[1] {table,...} `from`, `to`, `bytes`, `packets`
@return[2] nil
@return[2] err
*/
static int netlink_redirects (lua_State *L) {
#define COLUMN(name, type) {#name, FC_COLUMN_##type, offsetof(fc_redirect_row, name)}
  static const fc_column columns[] = {
      COLUMN(from, TEXT), COLUMN(to, TEXT), COLUMN(bytes, U64), COLUMN(packets, U64), {NULL, 0, 0}};
#undef COLUMN
  fc_netlink *n = fc_check_netlink(L);
  const char *link = fc_check_link(L, 2, "link");
  fc_buffer *rows = fc_new_scratch(L);
  fc_error err;
  return fc_push_rows(L, fc_netlink_redirects(n, link, rows, &err), rows, sizeof (fc_redirect_row), columns, &err);
}

void fc_add_redirects (lua_State *L) {
  static const luaL_Reg methods[] = {{"add_ingress", netlink_add_ingress},
                                     {"delete_ingress", netlink_delete_ingress},
                                     {"add_redirect", netlink_add_redirect},
                                     {"redirects", netlink_redirects},
                                     {NULL, NULL}};
  luaL_setfuncs(L, methods, 0);
}
