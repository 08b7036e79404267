/* lnetlink: core.net.netlink, the socket; what it does to a network namespace is in lnetlink_*.c.
 * @see csrc/sys/netlink_objects.h */
#include "lnet.h"

#include <string.h>
#include <sys/socket.h>

/***
Netlink sockets. Methods take names of links; what fails is `nil, err` with code "netlink", the kernel's `errno` and its
explanation in the message. The fields of the tables are those of @{firecracker.network}.
@submodule firecracker.core.net
*/

/***
Open a netlink socket.
@function netlink.open
@tparam[opt] fd netns the namespace it works on, whichever the caller is in; absent: the caller's
@treturn[1] netlink
@return[2] nil
@return[2] err
*/
static int netlink_open (lua_State *L) {
  int netns = lua_isnoneornil(L, 1) ? -1 : fc_check_fd(L, 1)->fd;
  fc_netlink *n = lua_newuserdatauv(L, sizeof *n, 0);
  *n = (fc_netlink){.fd = -1};
  luaL_setmetatable(L, FC_NETLINK_BOX);
  fc_error err;
  if (fc_netlink_open(n, netns, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
An address or a network from its text.
@function netlink.parse
@string text with `/BITS` or without
@treturn[1] string its 4 or 16 bytes
@treturn[1] integer bits of the prefix, 32 or 128 without
@return[2] nil (it is none)
*/
static int netlink_parse (lua_State *L) {
  size_t length;
  fc_address a;
  const char *text = luaL_checklstring(L, 1, &length);
  if (strlen(text) != length || !fc_address_parse(text, &a)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, (const char *)a.bytes, a.family == AF_INET6 ? 16 : 4);
  lua_pushinteger(L, a.prefix);
  return 2;
}

/***
The text of an address.
@function netlink.format
@string bytes 4 or 16
@int[opt] bits of the prefix, put behind it
@treturn string
*/
static int netlink_format (lua_State *L) {
  size_t length;
  char text[FC_ADDRESS_TEXT];
  const char *bytes = luaL_checklstring(L, 1, &length);
  lua_Integer bits = luaL_optinteger(L, 2, -1);
  luaL_argcheck(L, length == 4 || length == 16, 1, "4 or 16 bytes expected");
  luaL_argcheck(L, lua_isnoneornil(L, 2) || (bits >= 0 && bits <= (lua_Integer)length * 8), 2, "prefix out of range");
  fc_address a = {.family = length == 16 ? AF_INET6 : AF_INET, .prefix = (uint8_t)bits};
  memcpy(a.bytes, bytes, length);
  fc_address_format(&a, bits >= 0, text);
  lua_pushstring(L, text);
  return 1;
}

/***
Read or write a setting below /proc/sys/net of the socket's namespace.
@function netlink:sysctl
@string key with slashes: "ipv4/ip_forward"
@string[opt] value to write
@treturn[1] string|boolean the value, without the newline; true when it was written
@return[2] nil
@return[2] err (`ENOENT`: no such setting)
*/
static int netlink_sysctl (lua_State *L) {
  char value[256];
  fc_netlink *n = fc_check_netlink(L);
  const char *key = fc_check_text(L, 2), *wanted = lua_isnoneornil(L, 3) ? NULL : fc_check_text(L, 3);
  fc_error err;
  int rc = fc_netlink_sysctl(n, key, wanted, value, sizeof value, &err);
  if (rc < 0 || wanted)
    return fc_result(L, rc, &err);
  lua_pushstring(L, value);
  return 1;
}

/***
Close the socket; closing twice is no error.
@function netlink:close
*/
static int netlink_close (lua_State *L) {
  fc_netlink_close(luaL_checkudata(L, 1, FC_NETLINK_BOX));
  return 0;
}

int fc_open_netlink (lua_State *L) {
  static const luaL_Reg methods[] = {{"sysctl", netlink_sysctl}, {"close", netlink_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", netlink_close}, {"__close", netlink_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"open", netlink_open}, {"parse", netlink_parse}, {"format", netlink_format}, {NULL, NULL}};
  fc_new_metatable(L, FC_NETLINK_BOX, methods, metamethods);
  luaL_getmetatable(L, FC_NETLINK_BOX);
  lua_getfield(L, -1, "__index");
  fc_add_links(L);
  fc_add_addresses(L);
  fc_add_redirects(L);
  lua_pop(L, 2);
  luaL_newlib(L, functions);
  return 1;
}
