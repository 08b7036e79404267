/* lnetlink: core.net.netlink, links, addresses, routes, neighbours and redirects of a network namespace.
 * @see csrc/sys/netlink_objects.h, csrc/sys/tap.h */
#include "lnet.h"
#include "sys/tap.h"

#include <string.h>
#include <sys/socket.h>

#define NETLINK_BOX "firecracker.netlink"

/***
Netlink sockets. Methods take names of links; what fails is `nil, err` with code "netlink", the kernel's `errno` and its
explanation in the message. The fields of the tables are those of @{firecracker.network}.
@submodule firecracker.core.net
*/

static fc_netlink *check_netlink (lua_State *L) {
  fc_netlink *n = luaL_checkudata(L, 1, NETLINK_BOX);
  luaL_argcheck(L, n->fd >= 0, 1, "closed network");
  return n;
}

/* A list of the rows of a buffer, each `size` bytes, or nil and the error. */
static int list (lua_State *L, int rc, const fc_buffer *rows, size_t size, const fc_column *columns,
                 const fc_error *err) {
  if (rc < 0)
    return fc_fail(L, err);
  const char *at = fc_buffer_bytes(rows);
  lua_createtable(L, (int)(rows->length / size), 0);
  for (lua_Integer i = 1; (size_t)i * size <= rows->length; i++, at += size) {
    fc_push_row(L, columns, at);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

static const char *optional_link (lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? NULL : fc_check_link(L, index, "link");
}

static int refuse (lua_State *L, const char *message) {
  lua_pushstring(L, message);
  return lua_error(L);
}

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
  luaL_setmetatable(L, NETLINK_BOX);
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
  if (strlen(text) != length || !fc_address_parse(text, &a))
    return 0;
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

/* ---- links ---- */

#define CHANGE(member) offsetof(fc_link_change, member)
#define LINK_FIELDS(base)                                                                                              \
  {"up", FC_FIELD_UP, false, (base) + CHANGE(up)}, {"mtu", FC_FIELD_U32, false, (base) + CHANGE(mtu)},                 \
      {"mac", FC_FIELD_MAC, false, (base) + CHANGE(mac)}, {"master", FC_FIELD_MASTER, false, (base) + CHANGE(master)}

/***
Make a tap that stays; all of it or nothing.
@function netlink:add_tap
@tparam table options
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: the name is taken)
*/
static int netlink_add_tap (lua_State *L) {
  static const fc_field fields[] = {{"name", FC_FIELD_LINK, true, offsetof(fc_tap, name)},
                                    {"owner", FC_FIELD_ID, false, offsetof(fc_tap, owner)},
                                    {"group", FC_FIELD_ID, false, offsetof(fc_tap, group)},
                                    {"vnet_hdr", FC_FIELD_FLAG, false, offsetof(fc_tap, vnet_hdr)},
                                    {"multi_queue", FC_FIELD_FLAG, false, offsetof(fc_tap, multi_queue)},
                                    LINK_FIELDS(offsetof(fc_tap, link)),
                                    {NULL, 0, false, 0}};
  fc_netlink *n = check_netlink(L);
  fc_tap tap = {.owner = -1, .group = -1, .link = FC_LINK_CHANGE};
  fc_read_fields(L, 2, fields, &tap);
  fc_error err;
  return fc_result(L, fc_tap_create(n, &tap, &err), &err);
}

/***
Make a link of another kind.
@function netlink:add_link
@tparam table options
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: the name is taken)
*/
static int netlink_add_link (lua_State *L) {
  static const fc_field fields[] = {{"kind", FC_FIELD_TEXT, true, CHANGE(kind)},
                                    {"name", FC_FIELD_LINK, true, CHANGE(name)},
                                    {"netns", FC_FIELD_FD, false, CHANGE(netns)},
                                    {"peer", FC_FIELD_LINK, false, CHANGE(peer)},
                                    {"peer_mac", FC_FIELD_MAC, false, CHANGE(peer_mac)},
                                    {"peer_netns", FC_FIELD_FD, false, CHANGE(peer_netns)},
                                    LINK_FIELDS(0),
                                    {NULL, 0, false, 0}};
  fc_netlink *n = check_netlink(L);
  fc_link_change link = FC_LINK_CHANGE;
  fc_read_fields(L, 2, fields, &link);
  if (strlen(link.kind) >= FC_LINK_NAME)
    return refuse(L, "kind: at most 15 bytes expected");
  if ((strcmp(link.kind, "veth") == 0) != (link.peer != NULL))
    return refuse(L, "peer: needed for a veth, and for nothing else");
  fc_error err;
  return fc_result(L, fc_netlink_add_link(n, &link, &err), &err);
}

/***
Change a link.
@function netlink:set_link
@string link
@tparam table changes
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ENODEV`: no such link)
*/
static int netlink_set_link (lua_State *L) {
  static const fc_field fields[] = {{"name", FC_FIELD_LINK, false, CHANGE(name)},
                                    {"netns", FC_FIELD_FD, false, CHANGE(netns)},
                                    LINK_FIELDS(0),
                                    {NULL, 0, false, 0}};
  fc_netlink *n = check_netlink(L);
  const char *name = fc_check_link(L, 2, "link");
  fc_link_change change = FC_LINK_CHANGE;
  fc_read_fields(L, 3, fields, &change);
  fc_error err;
  return fc_result(L, fc_netlink_set_link(n, name, &change, &err), &err);
}

/***
Delete a link.
@function netlink:delete_link
@string link
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ENODEV`: no such link)
*/
static int netlink_delete_link (lua_State *L) {
  fc_netlink *n = check_netlink(L);
  fc_error err;
  return fc_result(L, fc_netlink_delete_link(n, fc_check_link(L, 2, "link"), &err), &err);
}

/***
List the links.
@function netlink:links
@string[opt] link only this one
@treturn[1] {table,...}
@return[2] nil
@return[2] err (`ENODEV`: no such link)
*/
static int netlink_links (lua_State *L) {
#define COLUMN(name, type) {#name, FC_COLUMN_##type, offsetof(fc_link, name)}
  static const fc_column columns[] = {
      COLUMN(name, TEXT), COLUMN(index, U32), COLUMN(kind, TEXT), COLUMN(up, FLAG), COLUMN(carrier, FLAG),
      COLUMN(state, WORD), COLUMN(mtu, U32), COLUMN(mac, TEXT), COLUMN(master, TEXT), {NULL, 0, 0}};
  static const fc_column statistics[] = {
      COLUMN(rx_bytes, U64), COLUMN(rx_packets, U64), COLUMN(rx_errors, U64), COLUMN(rx_dropped, U64),
      COLUMN(tx_bytes, U64), COLUMN(tx_packets, U64), COLUMN(tx_errors, U64), COLUMN(tx_dropped, U64), {NULL, 0, 0}};
  static const fc_column tap[] = {COLUMN(owner, ID),         COLUMN(group, ID),        COLUMN(vnet_hdr, FLAG),
                                  COLUMN(multi_queue, FLAG), COLUMN(persistent, FLAG), {NULL, 0, 0}};
#undef COLUMN
  fc_netlink *n = check_netlink(L);
  const char *name = optional_link(L, 2);
  fc_buffer *rows = fc_new_rows(L);
  fc_error err;
  if (fc_netlink_links(n, name, rows, &err) < 0)
    return fc_fail(L, &err);
  const char *bytes = fc_buffer_bytes(rows);
  lua_newtable(L);
  for (size_t i = 0; (i + 1) * sizeof (fc_link) <= rows->length; i++) {
    fc_link link;
    memcpy(&link, bytes + i * sizeof link, sizeof link);
    fc_push_row(L, columns, &link);
    fc_push_row(L, statistics, &link);
    lua_setfield(L, -2, "statistics");
    if (link.tap) {
      fc_push_row(L, tap, &link);
      lua_setfield(L, -2, "tap");
    }
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* ---- addresses ---- */

/* An address with its prefix at `index`. */
static void check_block (lua_State *L, int index, const char *field, fc_address *a) {
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
  if (!text || strlen(text) != lua_rawlen(L, index) || !fc_address_parse(text, a)) {
    lua_pushfstring(L, "%s: address ADDRESS/BITS expected, got %s", field, text ? text : luaL_typename(L, index));
    lua_error(L);
  }
}

/***
Give a link an address.
@function netlink:add_address
@string link
@string address ADDRESS/BITS; without bits that of one host
@tparam[opt] table options `nodad`
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: it has it)
*/
static int netlink_add_address (lua_State *L) {
  static const fc_field fields[] = {{"nodad", FC_FIELD_FLAG, false, offsetof(fc_address_change, nodad)},
                                    {NULL, 0, false, 0}};
  fc_netlink *n = check_netlink(L);
  const char *link = fc_check_link(L, 2, "link");
  fc_address_change change = {.nodad = false};
  check_block(L, 3, "address", &change.address);
  if (!lua_isnoneornil(L, 4))
    fc_read_fields(L, 4, fields, &change);
  fc_error err;
  return fc_result(L, fc_netlink_add_address(n, link, &change, &err), &err);
}

/***
Take an address from a link.
@function netlink:delete_address
@string link
@string address
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EADDRNOTAVAIL`: it does not have it)
*/
static int netlink_delete_address (lua_State *L) {
  fc_netlink *n = check_netlink(L);
  const char *link = fc_check_link(L, 2, "link");
  fc_address a;
  check_block(L, 3, "address", &a);
  fc_error err;
  return fc_result(L, fc_netlink_delete_address(n, link, &a, &err), &err);
}

/***
List the addresses.
@function netlink:addresses
@string[opt] link only its own
@treturn[1] {table,...}
@return[2] nil
@return[2] err
*/
static int netlink_addresses (lua_State *L) {
#define COLUMN(name, type) {#name, FC_COLUMN_##type, offsetof(fc_address_row, name)}
  static const fc_column columns[] = {
      COLUMN(link, TEXT),      COLUMN(address, TEXT), COLUMN(family, U32),     COLUMN(scope, WORD),
      COLUMN(tentative, FLAG), COLUMN(failed, FLAG),  COLUMN(permanent, FLAG), {NULL, 0, 0}};
#undef COLUMN
  fc_netlink *n = check_netlink(L);
  const char *link = optional_link(L, 2);
  fc_buffer *rows = fc_new_rows(L);
  fc_error err;
  return list(L, fc_netlink_addresses(n, link, rows, &err), rows, sizeof (fc_address_row), columns, &err);
}

/* ---- routes ---- */

static void read_route (lua_State *L, fc_route_change *route, bool added) {
  static const fc_field fields[] = {{"to", FC_FIELD_BLOCK, true, offsetof(fc_route_change, to)},
                                    {"via", FC_FIELD_HOST, false, offsetof(fc_route_change, via)},
                                    {"source", FC_FIELD_HOST, false, offsetof(fc_route_change, source)},
                                    {"link", FC_FIELD_LINK, false, offsetof(fc_route_change, link)},
                                    {"metric", FC_FIELD_U32, false, offsetof(fc_route_change, metric)},
                                    {"table", FC_FIELD_U32, false, offsetof(fc_route_change, table)},
                                    {"onlink", FC_FIELD_FLAG, false, offsetof(fc_route_change, onlink)},
                                    {"replace", FC_FIELD_FLAG, false, offsetof(fc_route_change, replace)},
                                    {NULL, 0, false, 0}};
  *route = (fc_route_change){.link = NULL};
  fc_read_fields(L, 2, fields, route);
  if (added && !route->link && !route->via.family)
    refuse(L, "link: a route needs link or via");
}

/***
Add a route.
@function netlink:add_route
@tparam table route
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: there is one)
*/
static int netlink_add_route (lua_State *L) {
  fc_netlink *n = check_netlink(L);
  fc_route_change route;
  read_route(L, &route, true);
  fc_error err;
  return fc_result(L, fc_netlink_add_route(n, &route, &err), &err);
}

/***
Delete a route.
@function netlink:delete_route
@tparam table route
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ESRCH`: there is none)
*/
static int netlink_delete_route (lua_State *L) {
  fc_netlink *n = check_netlink(L);
  fc_route_change route;
  read_route(L, &route, false);
  fc_error err;
  return fc_result(L, fc_netlink_delete_route(n, &route, &err), &err);
}

/***
List the routes.
@function netlink:routes
@tparam[opt] table filter `link`, `table` (254, the main one; 0: all)
@treturn[1] {table,...}
@return[2] nil
@return[2] err
*/
static int netlink_routes (lua_State *L) {
#define COLUMN(name, type) {#name, FC_COLUMN_##type, offsetof(fc_route_row, name)}
  static const fc_column columns[] = {COLUMN(to, TEXT),     COLUMN(via, TEXT),     COLUMN(link, TEXT),
                                      COLUMN(source, TEXT), COLUMN(family, U32),   COLUMN(metric, U32),
                                      COLUMN(table, U32),   COLUMN(protocol, U32), COLUMN(type, WORD),
                                      COLUMN(scope, WORD),  {NULL, 0, 0}};
#undef COLUMN
  struct filter { const char *link; uint32_t table; } filter = {NULL, 254};
  static const fc_field fields[] = {{"link", FC_FIELD_LINK, false, offsetof(struct filter, link)},
                                    {"table", FC_FIELD_U32, false, offsetof(struct filter, table)},
                                    {NULL, 0, false, 0}};
  fc_netlink *n = check_netlink(L);
  if (!lua_isnoneornil(L, 2))
    fc_read_fields(L, 2, fields, &filter);
  fc_buffer *rows = fc_new_rows(L);
  fc_error err;
  return list(L, fc_netlink_routes(n, filter.link, filter.table, rows, &err), rows, sizeof (fc_route_row), columns,
              &err);
}

/* ---- neighbours ---- */

static void read_neighbour (lua_State *L, fc_neighbour_change *neighbour, bool added) {
  const fc_field fields[] = {{"link", FC_FIELD_LINK, true, offsetof(fc_neighbour_change, link)},
                             {"address", FC_FIELD_HOST, true, offsetof(fc_neighbour_change, address)},
                             {"mac", FC_FIELD_MAC, added, offsetof(fc_neighbour_change, mac)},
                             {"replace", FC_FIELD_FLAG, false, offsetof(fc_neighbour_change, replace)},
                             {NULL, 0, false, 0}};
  *neighbour = (fc_neighbour_change){.link = NULL};
  fc_read_fields(L, 2, fields, neighbour);
}

/***
Add a permanent neighbour.
@function netlink:add_neighbour
@tparam table neighbour
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: there is one)
*/
static int netlink_add_neighbour (lua_State *L) {
  fc_netlink *n = check_netlink(L);
  fc_neighbour_change neighbour;
  read_neighbour(L, &neighbour, true);
  fc_error err;
  return fc_result(L, fc_netlink_add_neighbour(n, &neighbour, &err), &err);
}

/***
Delete a neighbour.
@function netlink:delete_neighbour
@tparam table neighbour
@treturn[1] boolean true
@return[2] nil
@return[2] err (`ENOENT`: there is none)
*/
static int netlink_delete_neighbour (lua_State *L) {
  fc_netlink *n = check_netlink(L);
  fc_neighbour_change neighbour;
  read_neighbour(L, &neighbour, false);
  fc_error err;
  return fc_result(L, fc_netlink_delete_neighbour(n, &neighbour, &err), &err);
}

/***
List the neighbours.
@function netlink:neighbours
@string[opt] link only its own
@treturn[1] {table,...}
@return[2] nil
@return[2] err
*/
static int netlink_neighbours (lua_State *L) {
#define COLUMN(name, type) {#name, FC_COLUMN_##type, offsetof(fc_neighbour_row, name)}
  static const fc_column columns[] = {COLUMN(link, TEXT), COLUMN(address, TEXT), COLUMN(mac, TEXT), COLUMN(family, U32),
                                      COLUMN(state, WORD), {NULL, 0, 0}};
#undef COLUMN
  fc_netlink *n = check_netlink(L);
  const char *link = optional_link(L, 2);
  fc_buffer *rows = fc_new_rows(L);
  fc_error err;
  return list(L, fc_netlink_neighbours(n, link, rows, &err), rows, sizeof (fc_neighbour_row), columns, &err);
}

/* ---- redirects ---- */

/***
Give a link the ingress queueing discipline that redirects need.
@function netlink:add_ingress
@string link
@treturn[1] boolean true
@return[2] nil
@return[2] err (`EEXIST`: it has it)
*/
static int netlink_add_ingress (lua_State *L) {
  fc_netlink *n = check_netlink(L);
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
  fc_netlink *n = check_netlink(L);
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
  fc_netlink *n = check_netlink(L);
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
  fc_netlink *n = check_netlink(L);
  const char *link = fc_check_link(L, 2, "link");
  fc_buffer *rows = fc_new_rows(L);
  fc_error err;
  return list(L, fc_netlink_redirects(n, link, rows, &err), rows, sizeof (fc_redirect_row), columns, &err);
}

/* ---- the rest ---- */

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
  fc_netlink *n = check_netlink(L);
  const char *key = luaL_checkstring(L, 2), *wanted = luaL_optstring(L, 3, NULL);
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
  fc_netlink_close(luaL_checkudata(L, 1, NETLINK_BOX));
  return 0;
}

int fc_open_netlink (lua_State *L) {
  static const luaL_Reg methods[] = {{"add_tap", netlink_add_tap},
                                     {"add_link", netlink_add_link},
                                     {"set_link", netlink_set_link},
                                     {"delete_link", netlink_delete_link},
                                     {"links", netlink_links},
                                     {"add_address", netlink_add_address},
                                     {"delete_address", netlink_delete_address},
                                     {"addresses", netlink_addresses},
                                     {"add_route", netlink_add_route},
                                     {"delete_route", netlink_delete_route},
                                     {"routes", netlink_routes},
                                     {"add_neighbour", netlink_add_neighbour},
                                     {"delete_neighbour", netlink_delete_neighbour},
                                     {"neighbours", netlink_neighbours},
                                     {"add_ingress", netlink_add_ingress},
                                     {"delete_ingress", netlink_delete_ingress},
                                     {"add_redirect", netlink_add_redirect},
                                     {"redirects", netlink_redirects},
                                     {"sysctl", netlink_sysctl},
                                     {"close", netlink_close},
                                     {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", netlink_close}, {"__close", netlink_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"open", netlink_open}, {"parse", netlink_parse}, {"format", netlink_format}, {NULL, NULL}};
  fc_new_metatable(L, NETLINK_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
