/* netlink_redirect: ingress queueing disciplines and redirects, in netlink_objects.h. A redirect is a u32 filter that
 * matches everything: the kernels of small hosts have it where they lack matchall. @see tc-u32(8), tc-mirred(8) */
#define _GNU_SOURCE
#include "netlink_objects.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/gen_stats.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdio.h>
#include <string.h>

enum { FILTER_PRIORITY = 1, ACTION_ORDER = 1 };
static const uint32_t filter_handle = 0x80000800;   /* 800::800, the first: a second one is EEXIST */
static const uint32_t ingress = TC_H_MAJ(TC_H_INGRESS);

static int change_ingress (fc_netlink *n, uint16_t type, uint16_t flags, const char *link, const char *what,
                           fc_error *err) {
  fc_netlink_request q;
  uint32_t index;
  if (fc_netlink_index(n, link, what, &index, err) < 0)
    return -1;
  struct tcmsg info = {.tcm_ifindex = (int)index, .tcm_parent = TC_H_INGRESS, .tcm_handle = ingress};
  fc_netlink_begin(&q, type, flags, &info, sizeof info);
  fc_netlink_put_text(&q, TCA_KIND, "ingress");
  return fc_netlink_ask(n, &q, err, "%s %s", what, link);
}

int fc_netlink_add_ingress (fc_netlink *n, const char *link, fc_error *err) {
  return change_ingress(n, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, "add an ingress qdisc to", err);
}

int fc_netlink_delete_ingress (fc_netlink *n, const char *link, fc_error *err) {
  return change_ingress(n, RTM_DELQDISC, 0, link, "delete the ingress qdisc of", err);
}

int fc_netlink_add_redirect (fc_netlink *n, const char *from, const char *to, fc_error *err) {
  fc_netlink_request q;
  uint32_t source, target;
  if (fc_netlink_index(n, from, "add a redirect", &source, err) < 0 ||
      fc_netlink_index(n, to, "add a redirect", &target, err) < 0)
    return -1;
  struct tcmsg info = {.tcm_ifindex = (int)source, .tcm_parent = ingress, .tcm_handle = filter_handle,
                       .tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL))};
  struct tc_u32_sel sel = {.flags = TC_U32_TERMINAL, .nkeys = 1};
  char match[sizeof sel + sizeof (struct tc_u32_key)] = {0};   /* the key: mask and value are 0 */
  struct tc_mirred mirred = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = target};
  fc_netlink_begin(&q, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  fc_netlink_put_text(&q, TCA_KIND, "u32");
  struct nlattr *options = fc_netlink_nest(&q, TCA_OPTIONS);
  memcpy(match, &sel, sizeof sel);
  fc_netlink_put(&q, TCA_U32_SEL, match, sizeof match);
  struct nlattr *actions = fc_netlink_nest(&q, TCA_U32_ACT), *action = fc_netlink_nest(&q, ACTION_ORDER);
  fc_netlink_put_text(&q, TCA_ACT_KIND, "mirred");
  struct nlattr *parameters = fc_netlink_nest(&q, TCA_ACT_OPTIONS);
  fc_netlink_put(&q, TCA_MIRRED_PARMS, &mirred, sizeof mirred);
  fc_netlink_end(&q, parameters);
  fc_netlink_end(&q, action);
  fc_netlink_end(&q, actions);
  fc_netlink_end(&q, options);
  return fc_netlink_ask(n, &q, err, "redirect %s to %s", from, to);
}

/* ---- lists ---- */

static const struct nlattr *find (const struct nlattr *nest, uint16_t type) {
  const struct nlattr *a;
  if (nest) {
    mnl_attr_for_each_nested (a, nest) {
      if (mnl_attr_get_type(a) == type)
        return a;
    }
  }
  return NULL;
}

int fc_netlink_redirect_row (const struct nlmsghdr *message, void *argument) {
  const fc_netlink_rows *list = argument;
  struct tcmsg info;
  struct tc_mirred mirred;
  struct gnet_stats_basic basic = {0};
  fc_redirect_row row = {.from = ""};
  if (message->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(message) < sizeof info)
    return 0;
  memcpy(&info, mnl_nlmsg_get_payload(message), sizeof info);
  const struct nlattr *a, *options = NULL;
  mnl_attr_for_each (a, message, sizeof info) {
    if (mnl_attr_get_type(a) == TCA_OPTIONS)
      options = a;
  }
  const struct nlattr *action = find(find(options, TCA_U32_ACT), ACTION_ORDER);
  const struct nlattr *parameters = find(find(action, TCA_ACT_OPTIONS), TCA_MIRRED_PARMS);
  if (!parameters || mnl_attr_get_payload_len(parameters) < sizeof mirred)
    return 0;
  memcpy(&mirred, mnl_attr_get_payload(parameters), sizeof mirred);
  if (mirred.eaction != TCA_EGRESS_REDIR)
    return 0;
  const struct nlattr *stats = find(find(action, TCA_ACT_STATS), TCA_STATS_BASIC);
  if (stats && mnl_attr_get_payload_len(stats) >= offsetof(struct gnet_stats_basic, packets) + sizeof basic.packets)
    memcpy(&basic, mnl_attr_get_payload(stats), offsetof(struct gnet_stats_basic, packets) + sizeof basic.packets);
  fc_netlink_name(list->netlink, (uint32_t)info.tcm_ifindex, row.from);
  fc_netlink_name(list->netlink, mirred.ifindex, row.to);
  row.bytes = basic.bytes;
  row.packets = basic.packets;
  return fc_buffer_append(list->rows, (const char *)&row, sizeof row);
}

int fc_netlink_redirects (fc_netlink *n, const char *link, fc_buffer *rows, fc_error *err) {
  fc_netlink_request q;
  uint32_t index;
  fc_netlink_rows list = {n, rows, 0, 0};
  if (fc_netlink_index(n, link, "list the redirects", &index, err) < 0)
    return -1;
  struct tcmsg info = {.tcm_ifindex = (int)index, .tcm_parent = ingress};
  fc_netlink_begin(&q, RTM_GETTFILTER, NLM_F_DUMP, &info, sizeof info);
  return fc_netlink_list(n, &q, fc_netlink_redirect_row, &list, rows, err, "list the redirects of %s", link);
}
