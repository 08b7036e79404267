/* tap: tap devices. @see the kernel's networking/tuntap */
#ifndef FC_TAP_H
#define FC_TAP_H

#include "error.h"
#include "netlink_objects.h"

#pragma GCC visibility push(hidden)

typedef struct {
  const char *name;
  int64_t owner, group;     /* who may open it; -1: who has CAP_NET_ADMIN */
  bool vnet_hdr, multi_queue;
  fc_link_change link;      /* what else is to be of it; its name is not used */
} fc_tap;

/* Make a tap that stays, in the namespace of a netlink socket. All or nothing; EEXIST: the name is taken. */
int fc_tap_create (fc_netlink *n, const fc_tap *tap, fc_error *err);

#pragma GCC visibility pop
#endif
