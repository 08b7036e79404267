/* lnetlink_links: links of a network namespace: netlink:add_link, add_tap, links. @see csrc/sys/netlink_objects.h, csrc/sys/tap.h */
#include "lnet.h"
#include "sys/tap.h"

#include <string.h>

/***
Links.
@submodule firecracker.core.net
*/

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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
  fc_link_change link = FC_LINK_CHANGE;
  fc_read_fields(L, 2, fields, &link);
  if (strlen(link.kind) >= FC_LINK_NAME)
    return fc_raise(L, "kind: at most 15 bytes expected");
  if ((strcmp(link.kind, "veth") == 0) != (link.peer != NULL))
    return fc_raise(L, "peer: needed for a veth, and for nothing else");
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
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
  fc_netlink *n = fc_check_netlink(L);
  const char *name = fc_optional_link(L, 2);
  fc_buffer *rows = fc_new_scratch(L);
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

void fc_add_links (lua_State *L) {
  static const luaL_Reg methods[] = {{"add_tap", netlink_add_tap},
                                     {"add_link", netlink_add_link},
                                     {"set_link", netlink_set_link},
                                     {"delete_link", netlink_delete_link},
                                     {"links", netlink_links},
                                     {NULL, NULL}};
  luaL_setfuncs(L, methods, 0);
}
