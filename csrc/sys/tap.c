/* tap: see tap.h. Until it is made to stay, closing its descriptor takes it away. */
#define _GNU_SOURCE
#include "tap.h"

#include "files.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef IFF_TUN_EXCL
#define IFF_TUN_EXCL 0x8000
#endif

static int refuse (const fc_tap *tap, const char *step, int error, fc_error *err) {
  fc_error_system(err, error, "cannot %s tap %s", step, tap->name);
  err->code = "netlink";
  size_t used = strlen(err->message);
  if (error == EPERM)
    snprintf(err->message + used, sizeof err->message - used, " (needs CAP_NET_ADMIN)");
  return -1;
}

static int set_up (fc_netlink *n, const fc_tap *tap, int fd, fc_error *err) {
  struct ifreq r = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (tap->vnet_hdr ? IFF_VNET_HDR : 0) |
                                         (tap->multi_queue ? IFF_MULTI_QUEUE : 0))};
  const fc_link_change *c = &tap->link;
  snprintf(r.ifr_name, sizeof r.ifr_name, "%s", tap->name);
  if (ioctl(fd, TUNSETIFF, &r) < 0)   /* EBUSY: a link of this name, which it would attach to without IFF_TUN_EXCL */
    return refuse(tap, "add", errno == EBUSY ? EEXIST : errno, err);
  if (tap->owner >= 0 && ioctl(fd, TUNSETOWNER, (unsigned long)tap->owner) < 0)
    return refuse(tap, "set the owner of", errno, err);
  if (tap->group >= 0 && ioctl(fd, TUNSETGROUP, (unsigned long)tap->group) < 0)
    return refuse(tap, "set the group of", errno, err);
  if ((c->up >= 0 || c->mtu || c->mac.given || c->master) && fc_netlink_set_link(n, tap->name, c, err) < 0)
    return -1;
  return ioctl(fd, TUNSETPERSIST, 1) < 0 ? refuse(tap, "keep", errno, err) : 0;
}

int fc_tap_create (fc_netlink *n, const fc_tap *tap, fc_error *err) {
  int netns = -1, fd = -1;
  if (fc_netlink_netns(n, &netns, err) < 0)
    return -1;
  int rc = fc_netns_open_file(netns, "/dev/net/tun", O_RDWR, &fd, err);
  fc_files_close(&netns);
  if (rc == 0)
    rc = set_up(n, tap, fd, err);
  fc_files_close(&fd);
  return rc;
}
