/* lnetlink_addresses: addresses, routes and neighbours of a network namespace. @see csrc/sys/netlink_objects.h */
#include "lnet.h"

#include <string.h>

/***
Addresses, routes and neighbours.
@submodule firecracker.core.net
*/

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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
  const char *link = fc_optional_link(L, 2);
  fc_buffer *rows = fc_new_scratch(L);
  fc_error err;
  return fc_push_rows(L, fc_netlink_addresses(n, link, rows, &err), rows, sizeof (fc_address_row), columns, &err);
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
    fc_raise(L, "link: a route needs link or via");
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
  if (!lua_isnoneornil(L, 2))
    fc_read_fields(L, 2, fields, &filter);
  fc_buffer *rows = fc_new_scratch(L);
  fc_error err;
  return fc_push_rows(L, fc_netlink_routes(n, filter.link, filter.table, rows, &err), rows, sizeof (fc_route_row), columns,
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
  const char *link = fc_optional_link(L, 2);
  fc_buffer *rows = fc_new_scratch(L);
  fc_error err;
  return fc_push_rows(L, fc_netlink_neighbours(n, link, rows, &err), rows, sizeof (fc_neighbour_row), columns, &err);
}

void fc_add_addresses (lua_State *L) {
  static const luaL_Reg methods[] = {{"add_address", netlink_add_address},
                                     {"delete_address", netlink_delete_address},
                                     {"addresses", netlink_addresses},
                                     {"add_route", netlink_add_route},
                                     {"delete_route", netlink_delete_route},
                                     {"routes", netlink_routes},
                                     {"add_neighbour", netlink_add_neighbour},
                                     {"delete_neighbour", netlink_delete_neighbour},
                                     {"neighbours", netlink_neighbours},
                                     {NULL, NULL}};
  luaL_setfuncs(L, methods, 0);
}
