/* netlink_addresses: addresses, routes, neighbours, in netlink_objects.h. @see rtnetlink(7) */
#define _GNU_SOURCE
#include "netlink_objects.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

/* ---- texts ---- */

static size_t width (uint8_t family) {
  return family == AF_INET6 ? 16 : 4;
}

bool fc_address_parse (const char *text, fc_address *address) {
  char bare[INET6_ADDRSTRLEN];
  fc_address a = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
  size_t length = strcspn(text, "/");
  if (length >= sizeof bare)
    return false;
  memcpy(bare, text, length);
  bare[length] = '\0';
  if (inet_pton(a.family, bare, a.bytes) != 1)
    return false;
  size_t bits = width(a.family) * 8;
  if (text[length] == '/') {
    const char *digits = text + length + 1;
    size_t n = strspn(digits, "0123456789");
    if (n < 1 || n > 3 || digits[n] || (n > 1 && digits[0] == '0'))
      return false;
    size_t prefix = 0;
    for (size_t i = 0; i < n; i++)
      prefix = prefix * 10 + (size_t)(digits[i] - '0');
    if (prefix > bits)
      return false;
    bits = prefix;
  }
  a.prefix = (uint8_t)bits;
  *address = a;
  return true;
}

void fc_address_format (const fc_address *address, bool prefix, char text[FC_ADDRESS_TEXT]) {
  if (!inet_ntop(address->family, address->bytes, text, FC_ADDRESS_TEXT))
    text[0] = '\0';
  else if (prefix)
    snprintf(text + strlen(text), FC_ADDRESS_TEXT - strlen(text), "/%u", address->prefix);
}

static const char *scope_name (unsigned scope) {
  return scope == RT_SCOPE_UNIVERSE ? "global" : scope == RT_SCOPE_SITE ? "site" : scope == RT_SCOPE_LINK ? "link"
       : scope == RT_SCOPE_HOST ? "host" : "nowhere";
}

/* ---- attributes ---- */

static void put_address (fc_netlink_request *q, uint16_t type, const fc_address *a) {
  if (a->family)
    fc_netlink_put(q, type, a->bytes, width(a->family));
}

/* Whether an attribute is an address of this family; its text then. */
static bool read_address (const struct nlattr *a, uint8_t family, int prefix, char text[FC_ADDRESS_TEXT]) {
  fc_address address = {.family = family, .prefix = (uint8_t)(prefix < 0 ? 0 : prefix)};
  if ((family != AF_INET && family != AF_INET6) || mnl_attr_get_payload_len(a) != width(family))
    return false;
  memcpy(address.bytes, mnl_attr_get_payload(a), width(family));
  fc_address_format(&address, prefix >= 0, text);
  return true;
}

static int list_objects (fc_netlink *n, uint16_t type, fc_netlink_row *row, const char *link, uint32_t table,
                         fc_buffer *rows, fc_error *err, const char *what) {
  fc_netlink_request q;
  fc_netlink_rows list = {n, rows, 0, table};
  if (link && fc_netlink_index(n, link, what, &list.link, err) < 0)
    return -1;
  struct rtmsg all = {.rtm_family = AF_UNSPEC};   /* as large as the other families' headers */
  fc_netlink_begin(&q, type, NLM_F_DUMP, &all, sizeof all);
  return fc_netlink_list(n, &q, row, &list, rows, err, "%s", what);
}

/* ---- addresses ---- */

static int change_address (fc_netlink *n, uint16_t type, uint16_t flags, const char *link, const fc_address *a,
                           bool nodad, fc_error *err) {
  fc_netlink_request q;
  char text[FC_ADDRESS_TEXT], what[FC_ADDRESS_TEXT + 40];
  uint32_t index;
  fc_address_format(a, true, text);
  snprintf(what, sizeof what, type == RTM_NEWADDR ? "add address %s" : "delete address %s", text);
  if (fc_netlink_index(n, link, what, &index, err) < 0)
    return -1;
  struct ifaddrmsg info = {.ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = index,
                           .ifa_flags = nodad && a->family == AF_INET6 ? IFA_F_NODAD : 0};
  fc_netlink_begin(&q, type, flags, &info, sizeof info);
  put_address(&q, IFA_LOCAL, a);
  put_address(&q, IFA_ADDRESS, a);
  return fc_netlink_ask(n, &q, err, "%s %s %s", what, type == RTM_NEWADDR ? "to" : "from", link);
}

int fc_netlink_add_address (fc_netlink *n, const char *link, const fc_address_change *a, fc_error *err) {
  return change_address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link, &a->address, a->nodad, err);
}

int fc_netlink_delete_address (fc_netlink *n, const char *link, const fc_address *a, fc_error *err) {
  return change_address(n, RTM_DELADDR, 0, link, a, false, err);
}

int fc_netlink_address_row (const struct nlmsghdr *message, void *argument) {
  const fc_netlink_rows *list = argument;
  struct ifaddrmsg info;
  fc_address_row row = {{0}, {0}, 0, NULL, false, false, false};
  if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof info)
    return 0;
  memcpy(&info, mnl_nlmsg_get_payload(message), sizeof info);
  if (list->link && info.ifa_index != list->link)
    return 0;
  uint32_t flags = info.ifa_flags;
  bool local = false, known = false;
  const struct nlattr *a;
  mnl_attr_for_each (a, message, sizeof info) {
    uint16_t type = mnl_attr_get_type(a);
    if (type == IFA_FLAGS)
      flags = fc_netlink_u32(a);
    else if (type == IFA_LOCAL)   /* IFA_ADDRESS is the peer's then */
      local = known = read_address(a, info.ifa_family, info.ifa_prefixlen, row.address);
    else if (type == IFA_ADDRESS && !local)
      known = read_address(a, info.ifa_family, info.ifa_prefixlen, row.address);
  }
  if (!known)
    return 0;
  fc_netlink_name(list->netlink, info.ifa_index, row.link);
  row.family = info.ifa_family == AF_INET6 ? 6 : 4;
  row.scope = scope_name(info.ifa_scope);
  row.tentative = flags & IFA_F_TENTATIVE;
  row.failed = flags & IFA_F_DADFAILED;
  row.permanent = flags & IFA_F_PERMANENT;
  return fc_buffer_append(list->rows, (const char *)&row, sizeof row);
}

int fc_netlink_addresses (fc_netlink *n, const char *link, fc_buffer *rows, fc_error *err) {
  return list_objects(n, RTM_GETADDR, fc_netlink_address_row, link, 0, rows, err, "list the addresses");
}

/* ---- routes ---- */

static int change_route (fc_netlink *n, uint16_t type, uint16_t flags, const fc_route_change *r, fc_error *err) {
  fc_netlink_request q;
  char to[FC_ADDRESS_TEXT] = "default", via[FC_ADDRESS_TEXT] = "", what[2 * FC_ADDRESS_TEXT + 60];
  uint32_t index = 0;
  uint8_t family = r->to.family       ? r->to.family
                   : r->via.family    ? r->via.family
                   : r->source.family ? r->source.family
                                      : AF_INET;
  if (r->to.family)
    fc_address_format(&r->to, true, to);
  if (r->via.family)
    fc_address_format(&r->via, false, via);
  snprintf(what, sizeof what, "%s route to %s%s%s%s%s", type == RTM_NEWROUTE ? "add" : "delete", to,
           via[0] ? " via " : "", via, r->link ? " by " : "", r->link ? r->link : "");
  if (r->link && fc_netlink_index(n, r->link, what, &index, err) < 0)
    return -1;
  bool added = type == RTM_NEWROUTE;
  struct rtmsg info = {
      .rtm_family = family, .rtm_dst_len = r->to.family ? r->to.prefix : 0, .rtm_table = RT_TABLE_UNSPEC,
      .rtm_protocol = added ? RTPROT_BOOT : RTPROT_UNSPEC, .rtm_type = added ? RTN_UNICAST : RTN_UNSPEC,
      .rtm_scope = !added ? RT_SCOPE_NOWHERE : family == AF_INET && !r->via.family ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
      .rtm_flags = r->onlink ? RTNH_F_ONLINK : 0};
  fc_netlink_begin(&q, type, flags, &info, sizeof info);
  put_address(&q, RTA_DST, &r->to);
  if (r->via.family && r->via.family != family) {   /* IPv4 by way of an IPv6 router */
    struct { uint16_t family; uint8_t bytes[16]; } other = {.family = r->via.family};
    memcpy(other.bytes, r->via.bytes, sizeof other.bytes);
    fc_netlink_put(&q, RTA_VIA, &other, sizeof other.family + width(r->via.family));
  } else {
    put_address(&q, RTA_GATEWAY, &r->via);
  }
  put_address(&q, RTA_PREFSRC, &r->source);
  if (index)
    fc_netlink_put_u32(&q, RTA_OIF, index);
  if (r->metric)
    fc_netlink_put_u32(&q, RTA_PRIORITY, r->metric);
  fc_netlink_put_u32(&q, RTA_TABLE, r->table ? r->table : RT_TABLE_MAIN);
  return fc_netlink_ask(n, &q, err, "%s", what);
}

int fc_netlink_add_route (fc_netlink *n, const fc_route_change *r, fc_error *err) {
  return change_route(n, RTM_NEWROUTE, NLM_F_CREATE | (r->replace ? NLM_F_REPLACE : NLM_F_EXCL), r, err);
}

int fc_netlink_delete_route (fc_netlink *n, const fc_route_change *r, fc_error *err) {
  return change_route(n, RTM_DELROUTE, 0, r, err);
}

static int push_route (const fc_netlink_rows *list, fc_route_row *row, uint32_t index) {
  if (list->link && index != list->link)
    return 0;
  fc_netlink_name(list->netlink, index, row->link);
  return fc_buffer_append(list->rows, (const char *)row, sizeof *row);
}

static void read_next_hop (const struct nlattr *a, uint8_t family, fc_route_row *row) {
  if (mnl_attr_get_type(a) == RTA_GATEWAY) {
    read_address(a, family, -1, row->via);
  } else if (mnl_attr_get_type(a) == RTA_VIA && mnl_attr_get_payload_len(a) == 2 + 16) {
    fc_address via = {.family = AF_INET6};
    memcpy(via.bytes, (const char *)mnl_attr_get_payload(a) + 2, 16);
    fc_address_format(&via, false, row->via);
  }
}

static int push_next_hops (const fc_netlink_rows *list, const struct nlattr *hops, uint8_t family, fc_route_row *row) {
  const char *at = mnl_attr_get_payload(hops), *end = at + mnl_attr_get_payload_len(hops);
  struct rtnexthop hop;
  while ((size_t)(end - at) >= sizeof hop) {
    memcpy(&hop, at, sizeof hop);
    if (hop.rtnh_len < sizeof hop || hop.rtnh_len > end - at)
      break;
    row->via[0] = '\0';
    const struct nlattr *a = (const void *)(at + sizeof hop);
    for (; mnl_attr_ok(a, (int)(at + hop.rtnh_len - (const char *)a)); a = mnl_attr_next(a))
      read_next_hop(a, family, row);
    if (push_route(list, row, (uint32_t)hop.rtnh_ifindex) < 0)
      return -1;
    size_t step = RTNH_ALIGN(hop.rtnh_len);
    at += step > (size_t)(end - at) ? (size_t)(end - at) : step;
  }
  return 0;
}

int fc_netlink_route_row (const struct nlmsghdr *message, void *argument) {
  static const char *const types[] = {"unspecified", "unicast",     "local",    "broadcast", "anycast", "multicast",
                                      "blackhole",   "unreachable", "prohibit", "throw",     "nat",     "xresolve"};
  const fc_netlink_rows *list = argument;
  struct rtmsg info;
  fc_route_row row = {.to = "default"};
  if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof info)
    return 0;
  memcpy(&info, mnl_nlmsg_get_payload(message), sizeof info);
  if ((info.rtm_family != AF_INET && info.rtm_family != AF_INET6) || info.rtm_flags & RTM_F_CLONED)
    return 0;
  row.family = info.rtm_family == AF_INET6 ? 6 : 4;
  row.table = info.rtm_table;
  row.protocol = info.rtm_protocol;
  row.scope = scope_name(info.rtm_scope);
  row.type = info.rtm_type < sizeof types / sizeof *types ? types[info.rtm_type] : types[0];
  uint32_t index = 0;
  const struct nlattr *a, *hops = NULL;
  mnl_attr_for_each (a, message, sizeof info) {
    switch (mnl_attr_get_type(a)) {
      case RTA_DST: read_address(a, info.rtm_family, info.rtm_dst_len, row.to); break;
      case RTA_PREFSRC: read_address(a, info.rtm_family, -1, row.source); break;
      case RTA_OIF: index = fc_netlink_u32(a); break;
      case RTA_PRIORITY: row.metric = fc_netlink_u32(a); break;
      case RTA_TABLE: row.table = fc_netlink_u32(a); break;
      case RTA_MULTIPATH: hops = a; break;
      default: read_next_hop(a, info.rtm_family, &row);
    }
  }
  if (list->table && row.table != list->table)
    return 0;
  return hops ? push_next_hops(list, hops, info.rtm_family, &row) : push_route(list, &row, index);
}

int fc_netlink_routes (fc_netlink *n, const char *link, uint32_t table, fc_buffer *rows, fc_error *err) {
  return list_objects(n, RTM_GETROUTE, fc_netlink_route_row, link, table, rows, err, "list the routes");
}

/* ---- neighbours ---- */

static int change_neighbour (fc_netlink *n, uint16_t type, uint16_t flags, const fc_neighbour_change *c,
                             fc_error *err) {
  fc_netlink_request q;
  char text[FC_ADDRESS_TEXT], what[FC_ADDRESS_TEXT + 60];
  uint32_t index;
  fc_address_format(&c->address, false, text);
  snprintf(what, sizeof what, "%s neighbour %s of %s", type == RTM_NEWNEIGH ? "add" : "delete", text, c->link);
  if (fc_netlink_index(n, c->link, what, &index, err) < 0)
    return -1;
  struct ndmsg info = {.ndm_family = c->address.family, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
  fc_netlink_begin(&q, type, flags, &info, sizeof info);
  put_address(&q, NDA_DST, &c->address);
  if (c->mac.given)
    fc_netlink_put(&q, NDA_LLADDR, c->mac.bytes, sizeof c->mac.bytes);
  return fc_netlink_ask(n, &q, err, "%s", what);
}

int fc_netlink_add_neighbour (fc_netlink *n, const fc_neighbour_change *c, fc_error *err) {
  return change_neighbour(n, RTM_NEWNEIGH, NLM_F_CREATE | (c->replace ? NLM_F_REPLACE : NLM_F_EXCL), c, err);
}

int fc_netlink_delete_neighbour (fc_netlink *n, const fc_neighbour_change *c, fc_error *err) {
  return change_neighbour(n, RTM_DELNEIGH, 0, c, err);
}

int fc_netlink_neighbour_row (const struct nlmsghdr *message, void *argument) {
  static const struct { unsigned bit; const char *name; } states[] = {
      {NUD_PERMANENT, "permanent"}, {NUD_REACHABLE, "reachable"}, {NUD_STALE, "stale"}, {NUD_DELAY, "delay"},
      {NUD_PROBE, "probe"}, {NUD_FAILED, "failed"}, {NUD_INCOMPLETE, "incomplete"}};
  const fc_netlink_rows *list = argument;
  struct ndmsg info;
  fc_neighbour_row row = {.state = "none"};
  if (message->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(message) < sizeof info)
    return 0;
  memcpy(&info, mnl_nlmsg_get_payload(message), sizeof info);
  if ((list->link && (uint32_t)info.ndm_ifindex != list->link) || info.ndm_state & NUD_NOARP)
    return 0;
  bool known = false;
  const struct nlattr *a;
  mnl_attr_for_each (a, message, sizeof info) {
    if (mnl_attr_get_type(a) == NDA_DST)
      known = read_address(a, info.ndm_family, -1, row.address);
    else if (mnl_attr_get_type(a) == NDA_LLADDR)
      fc_netlink_mac(a, row.mac);
  }
  for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
    if (info.ndm_state & states[i].bit) {
      row.state = states[i].name;
      break;
    }
  }
  if (!known)
    return 0;
  fc_netlink_name(list->netlink, (uint32_t)info.ndm_ifindex, row.link);
  row.family = info.ndm_family == AF_INET6 ? 6 : 4;
  return fc_buffer_append(list->rows, (const char *)&row, sizeof row);
}

int fc_netlink_neighbours (fc_netlink *n, const char *link, fc_buffer *rows, fc_error *err) {
  return list_objects(n, RTM_GETNEIGH, fc_netlink_neighbour_row, link, 0, rows, err, "list the neighbours");
}
