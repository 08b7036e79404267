/* netlink_links: links, in netlink_objects.h. @see rtnetlink(7) */
#define _GNU_SOURCE
#include "netlink_objects.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/veth.h>
#include <net/if.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

bool fc_mac_parse (const char *text, fc_mac *mac) {
  static const char digits[] = "0123456789abcdefABCDEF";
  for (int i = 0; i < 6; i++, text += 3) {
    if (strspn(text, digits) != 2 || text[2] != (i < 5 ? ':' : '\0'))
      return false;
    unsigned byte = 0;
    for (int k = 0; k < 2; k++) {
      int digit = (int)(strchr(digits, text[k]) - digits);
      byte = byte << 4 | (unsigned)(digit < 16 ? digit : digit - 6);
    }
    mac->bytes[i] = (uint8_t)byte;
  }
  mac->given = true;
  return true;
}

static void put_mac (fc_netlink_request *q, const fc_mac *mac) {
  if (mac->given)
    fc_netlink_put(q, IFLA_ADDRESS, mac->bytes, sizeof mac->bytes);
}

/* What a new link and a change have in common. */
static int put_change (const fc_netlink *n, fc_netlink_request *q, const fc_link_change *c, const char *what,
                       fc_error *err) {
  uint32_t master = 0;
  if (c->master && c->master[0] && fc_netlink_index(n, c->master, what, &master, err) < 0)
    return -1;
  if (c->master)
    fc_netlink_put_u32(q, IFLA_MASTER, master);
  if (c->name)
    fc_netlink_put_text(q, IFLA_IFNAME, c->name);
  if (c->mtu)
    fc_netlink_put_u32(q, IFLA_MTU, c->mtu);
  put_mac(q, &c->mac);
  if (c->netns >= 0)
    fc_netlink_put_u32(q, IFLA_NET_NS_FD, (uint32_t)c->netns);
  return 0;
}

int fc_netlink_add_link (fc_netlink *n, const fc_link_change *link, fc_error *err) {
  fc_netlink_request q;
  char what[80];
  struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_change = link->up >= 0 ? IFF_UP : 0,
                           .ifi_flags = link->up > 0 ? IFF_UP : 0};
  snprintf(what, sizeof what, "add %s %s", link->kind, link->name);
  fc_netlink_begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  if (put_change(n, &q, link, what, err) < 0)
    return -1;
  struct nlattr *outer = fc_netlink_nest(&q, IFLA_LINKINFO);
  fc_netlink_put_text(&q, IFLA_INFO_KIND, link->kind);
  if (link->peer) {
    struct nlattr *data = fc_netlink_nest(&q, IFLA_INFO_DATA);
    struct nlattr *peer = fc_netlink_nest(&q, VETH_INFO_PEER);
    fc_netlink_put_header(&q, &(struct ifinfomsg){.ifi_family = AF_UNSPEC}, sizeof info);
    fc_netlink_put_text(&q, IFLA_IFNAME, link->peer);
    put_mac(&q, &link->peer_mac);
    if (link->mtu)
      fc_netlink_put_u32(&q, IFLA_MTU, link->mtu);
    if (link->peer_netns >= 0)
      fc_netlink_put_u32(&q, IFLA_NET_NS_FD, (uint32_t)link->peer_netns);
    fc_netlink_end(&q, peer);
    fc_netlink_end(&q, data);
  }
  fc_netlink_end(&q, outer);
  return fc_netlink_ask(n, &q, err, "%s", what);
}

int fc_netlink_set_link (fc_netlink *n, const char *name, const fc_link_change *change, fc_error *err) {
  fc_netlink_request q;
  uint32_t index;
  if (fc_netlink_index(n, name, "change a link", &index, err) < 0)
    return -1;
  struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_change = change->up >= 0 ? IFF_UP : 0,
                           .ifi_flags = change->up > 0 ? IFF_UP : 0};
  fc_netlink_begin(&q, RTM_NEWLINK, 0, &info, sizeof info);
  if (put_change(n, &q, change, "change a link", err) < 0)
    return -1;
  return fc_netlink_ask(n, &q, err, "change link %s", name);
}

int fc_netlink_delete_link (fc_netlink *n, const char *name, fc_error *err) {
  fc_netlink_request q;
  struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
  fc_netlink_begin(&q, RTM_DELLINK, 0, &info, sizeof info);
  fc_netlink_put_text(&q, IFLA_IFNAME, name);
  return fc_netlink_ask(n, &q, err, "delete link %s", name);
}

/* ---- lists ---- */

static void read_text (const struct nlattr *a, char *to, size_t size) {
  snprintf(to, size, "%.*s", (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
}

uint32_t fc_netlink_u32 (const struct nlattr *a) {
  return mnl_attr_get_payload_len(a) >= sizeof (uint32_t) ? mnl_attr_get_u32(a) : 0;
}

void fc_netlink_mac (const struct nlattr *a, char text[FC_MAC_TEXT]) {
  const uint8_t *m = mnl_attr_get_payload(a);
  if (mnl_attr_get_payload_len(a) == 6)
    snprintf(text, FC_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static bool read_bool (const struct nlattr *a) {
  return mnl_attr_get_payload_len(a) >= 1 && mnl_attr_get_u8(a) != 0;
}

static void read_tun (const struct nlattr *data, fc_link *link) {
  const struct nlattr *a;
  mnl_attr_for_each_nested (a, data) {
    switch (mnl_attr_get_type(a)) {
      case IFLA_TUN_OWNER: link->owner = fc_netlink_u32(a); break;
      case IFLA_TUN_GROUP: link->group = fc_netlink_u32(a); break;
      case IFLA_TUN_TYPE: link->tap = mnl_attr_get_payload_len(a) >= 1 && mnl_attr_get_u8(a) == IFF_TAP; break;
      case IFLA_TUN_VNET_HDR: link->vnet_hdr = read_bool(a); break;
      case IFLA_TUN_MULTI_QUEUE: link->multi_queue = read_bool(a); break;
      case IFLA_TUN_PERSIST: link->persistent = read_bool(a); break;
      default: break;
    }
  }
}

static void read_info (const struct nlattr *info, fc_link *link) {
  const struct nlattr *a, *data = NULL;
  mnl_attr_for_each_nested (a, info) {
    if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
      read_text(a, link->kind, sizeof link->kind);
    else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
      data = a;
  }
  if (data && strcmp(link->kind, "tun") == 0)
    read_tun(data, link);
}

static void read_stats (const struct nlattr *a, fc_link *link) {
  struct rtnl_link_stats64 s = {0};
  size_t size = mnl_attr_get_payload_len(a);
  memcpy(&s, mnl_attr_get_payload(a), size < sizeof s ? size : sizeof s);
  link->rx_bytes = s.rx_bytes, link->rx_packets = s.rx_packets, link->rx_errors = s.rx_errors;
  link->tx_bytes = s.tx_bytes, link->tx_packets = s.tx_packets, link->tx_errors = s.tx_errors;
  link->rx_dropped = s.rx_dropped, link->tx_dropped = s.tx_dropped;
}

static const char *state_name (const struct nlattr *a) {
  static const char *const names[] = {"unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"};
  unsigned state = mnl_attr_get_payload_len(a) >= 1 ? mnl_attr_get_u8(a) : 0;
  return state < sizeof names / sizeof *names ? names[state] : names[0];
}

int fc_netlink_link_row (const struct nlmsghdr *message, void *argument) {
  const fc_netlink_rows *list = argument;
  struct ifinfomsg info;
  fc_link link = {.state = "unknown", .owner = -1, .group = -1};
  if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof info)
    return 0;
  memcpy(&info, mnl_nlmsg_get_payload(message), sizeof info);
  link.index = (uint32_t)info.ifi_index;
  link.up = info.ifi_flags & IFF_UP;
  const struct nlattr *a;
  mnl_attr_for_each (a, message, sizeof info) {
    switch (mnl_attr_get_type(a)) {
      case IFLA_IFNAME: read_text(a, link.name, sizeof link.name); break;
      case IFLA_MTU: link.mtu = fc_netlink_u32(a); break;
      case IFLA_MASTER: fc_netlink_name(list->netlink, fc_netlink_u32(a), link.master); break;
      case IFLA_CARRIER: link.carrier = read_bool(a); break;
      case IFLA_OPERSTATE: link.state = state_name(a); break;
      case IFLA_LINKINFO: read_info(a, &link); break;
      case IFLA_STATS64: read_stats(a, &link); break;
      case IFLA_ADDRESS: fc_netlink_mac(a, link.mac); break;
      default: break;
    }
  }
  return fc_buffer_append(list->rows, (const char *)&link, sizeof link);
}

int fc_netlink_links (fc_netlink *n, const char *name, fc_buffer *rows, fc_error *err) {
  fc_netlink_request q;
  struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
  fc_netlink_rows list = {n, rows, 0, 0};
  fc_netlink_begin(&q, RTM_GETLINK, name ? 0 : NLM_F_DUMP, &info, sizeof info);
  if (name)
    fc_netlink_put_text(&q, IFLA_IFNAME, name);
  return fc_netlink_list(n, &q, fc_netlink_link_row, &list, rows, err, name ? "look at link %s" : "list the links",
                         name);
}
