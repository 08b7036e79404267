/* network: the measure of fc.net: the same links, address, route and redirects by netlink and ioctl by hand, nothing
 * checked or named, or (-c) by the commands ip and tc, run without a shell. Exits when anything fails.
 * Reads commands, one a line: "run" makes all of it and takes it away again; answers with one line of names and
 * microseconds: links, address, route, redirect. To be started in a network namespace of its own. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/veth.h>
#include <net/if.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static int nl;
static struct { struct nlmsghdr h; char body[1000]; } m;

static double now_us (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void check (int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

/* ---- by hand ---- */

static void *add (const void *bytes, size_t size) {
  char *at = (char *)&m + NLMSG_ALIGN(m.h.nlmsg_len);
  memcpy(at, bytes, size);
  m.h.nlmsg_len = NLMSG_ALIGN(m.h.nlmsg_len) + (unsigned)size;
  return at;
}

static struct rtattr *attr (unsigned short type, const void *bytes, size_t size) {
  struct rtattr a = {.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type}, *at = add(&a, sizeof a);
  if (size)
    add(bytes, size);
  return at;
}

static void end (struct rtattr *nest) {
  m.h.nlmsg_len = NLMSG_ALIGN(m.h.nlmsg_len);
  nest->rta_len = (unsigned short)((char *)&m + m.h.nlmsg_len - (char *)nest);
}

static void begin (unsigned short type, unsigned short flags, const void *header, size_t size) {
  m.h = (struct nlmsghdr){.nlmsg_len = sizeof m.h, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags};
  add(header, size);
}

static void ask (const char *what) {
  char reply[4096];
  check(send(nl, &m, m.h.nlmsg_len, 0) > 0 && recv(nl, reply, sizeof reply, 0) > 0, what);
  errno = -((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)reply))->error;
  check(errno == 0, what);
}

enum { MAKE = NLM_F_CREATE | NLM_F_EXCL };
#define TEXT(type, text) attr(type, text, strlen(text) + 1)

static void link_of (const char *kind, const char *name, const char *peer) {
  struct ifinfomsg up = {.ifi_change = IFF_UP, .ifi_flags = IFF_UP}, any = {0};
  begin(RTM_NEWLINK, MAKE, &up, sizeof up);
  TEXT(IFLA_IFNAME, name);
  struct rtattr *info = attr(IFLA_LINKINFO, NULL, 0);
  TEXT(IFLA_INFO_KIND, kind);
  if (peer) {
    struct rtattr *data = attr(IFLA_INFO_DATA, NULL, 0), *other = attr(VETH_INFO_PEER, NULL, 0);
    add(&any, sizeof any);
    TEXT(IFLA_IFNAME, peer);
    end(other);
    end(data);
  }
  end(info);
  ask(name);
}

static void raw_links (void) {
  struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, .ifr_name = "tap0"};
  int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  check(tun >= 0 && ioctl(tun, TUNSETIFF, &r) == 0 && ioctl(tun, TUNSETOWNER, 1000) == 0, "tap");
  struct ifinfomsg up = {.ifi_index = (int)if_nametoindex("tap0"), .ifi_change = IFF_UP, .ifi_flags = IFF_UP};
  begin(RTM_NEWLINK, 0, &up, sizeof up);
  ask("tap up");
  check(ioctl(tun, TUNSETPERSIST, 1) == 0, "tap");
  close(tun);
  link_of("bridge", "br0", NULL);
  link_of("veth", "v0", "v1");
}

static void raw_address (void) {
  struct in_addr a;
  struct ifaddrmsg info = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = if_nametoindex("br0")};
  inet_pton(AF_INET, "10.0.0.1", &a);
  begin(RTM_NEWADDR, MAKE, &info, sizeof info);
  attr(IFA_LOCAL, &a, sizeof a);
  ask("address");
}

static void raw_route (void) {
  struct in_addr a;
  struct rtmsg info = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST};
  inet_pton(AF_INET, "10.0.0.2", &a);
  begin(RTM_NEWROUTE, MAKE, &info, sizeof info);
  attr(RTA_GATEWAY, &a, sizeof a);
  ask("route");
}

static void one_way (const char *from, const char *to) {
  struct tcmsg info = {.tcm_ifindex = (int)if_nametoindex(from), .tcm_parent = TC_H_MAJ(TC_H_INGRESS),
                       .tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL))};
  struct tc_u32_sel sel = {.flags = TC_U32_TERMINAL, .nkeys = 1};
  struct tc_mirred mirred = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = if_nametoindex(to)};
  char match[sizeof sel + sizeof (struct tc_u32_key)] = {0};
  memcpy(match, &sel, sizeof sel);
  begin(RTM_NEWTFILTER, MAKE, &info, sizeof info);
  TEXT(TCA_KIND, "u32");
  struct rtattr *options = attr(TCA_OPTIONS, NULL, 0);
  attr(TCA_U32_SEL, match, sizeof match);
  struct rtattr *actions = attr(TCA_U32_ACT, NULL, 0), *action = attr(1, NULL, 0);
  TEXT(TCA_ACT_KIND, "mirred");
  struct rtattr *parameters = attr(TCA_ACT_OPTIONS, NULL, 0);
  attr(TCA_MIRRED_PARMS, &mirred, sizeof mirred);
  end(parameters);
  end(action);
  end(actions);
  end(options);
  ask("filter");
}

static void raw_redirect (void) {
  const char *const ends[] = {"tap0", "v0"};
  for (int i = 0; i < 2; i++) {
    struct tcmsg info = {.tcm_ifindex = (int)if_nametoindex(ends[i]), .tcm_parent = TC_H_INGRESS,
                         .tcm_handle = TC_H_MAJ(TC_H_INGRESS)};
    begin(RTM_NEWQDISC, MAKE, &info, sizeof info);
    TEXT(TCA_KIND, "ingress");
    ask("ingress");
  }
  one_way("tap0", "v0");
  one_way("v0", "tap0");
}

static void raw_delete (void) {
  const char *const links[] = {"tap0", "br0", "v0"};
  for (int i = 0; i < 3; i++) {
    struct ifinfomsg info = {.ifi_index = (int)if_nametoindex(links[i])};
    begin(RTM_DELLINK, 0, &info, sizeof info);
    ask("delete");
  }
}

/* ---- by commands ---- */

static void command (char *line) {
  char *argv[40], *save = NULL;
  int n = 0, status;
  pid_t pid;
  for (char *word = strtok_r(line, " ", &save); word && n < 39; word = strtok_r(NULL, " ", &save))
    argv[n++] = word;
  argv[n] = NULL;
  check(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0, argv[0]);
  check(waitpid(pid, &status, 0) == pid && status == 0, argv[0]);
}

#define COMMANDS(...)                                                                                                  \
  char lines[][120] = {__VA_ARGS__};                                                                                   \
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)                                                            \
  command(lines[i])

static void ip_links (void) {
  COMMANDS("ip tuntap add tap0 mode tap vnet_hdr user 1000", "ip link set tap0 up", "ip link add br0 up type bridge",
           "ip link add v0 up type veth peer name v1");
}
static void ip_address (void) { COMMANDS("ip address add 10.0.0.1/24 dev br0"); }
static void ip_route (void) { COMMANDS("ip route add default via 10.0.0.2"); }
static void ip_redirect (void) {
#define ONE_WAY(from, to) "tc filter add dev " from " parent ffff: prio 1 u32 match u8 0 0 action mirred egress redirect dev " to
  COMMANDS("tc qdisc add dev tap0 ingress", "tc qdisc add dev v0 ingress", ONE_WAY("tap0", "v0"), ONE_WAY("v0", "tap0"));
}

int main (int argc, char **argv) {
  static void (*const raw[]) (void) = {raw_links, raw_address, raw_route, raw_redirect};
  static void (*const commands[]) (void) = {ip_links, ip_address, ip_route, ip_redirect};
  static const char *const names[] = {"links", "address", "route", "redirect"};
  char line[16];
  int by_command = argc > 1 && strcmp(argv[1], "-c") == 0;
  nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  check(nl >= 0, "netlink");
  while (fgets(line, sizeof line, stdin)) {
    for (int i = 0; i < 4; i++) {
      double before = now_us();
      (by_command ? commands : raw)[i]();
      printf("%s %.1f ", names[i], now_us() - before);
    }
    printf("\n");
    fflush(stdout);
    raw_delete();
  }
  return 0;
}
