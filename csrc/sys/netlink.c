/* netlink: see netlink.h. The kernel answers rtnetlink requests while they are sent; the deadline is for a kernel that
 * does not. @see netlink(7), rtnetlink(7) */
#define _GNU_SOURCE
#include "netlink.h"

#include "clock.h"
#include "files.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_SIZE = 32 * 1024, TRIES = 20 };   /* the kernel fills at most 32 KiB */
static const double patience = 2;                /* seconds */

int fc_netlink_open (fc_netlink *n, int netns, fc_error *err) {
  int on = 1, fd = -1;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  socklen_t size = sizeof address;
  if (netns >= 0) {
    if (fc_netns_socket(netns, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE, &fd, err) < 0)
      return -1;
  } else {
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  }
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
      setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) < 0 ||
      setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) < 0) {
    fc_error_system(err, errno, "cannot open a netlink socket");
    fc_files_close(&fd);
    return -1;
  }
  *n = (fc_netlink){.fd = fd, .port = address.nl_pid, .elsewhere = netns >= 0};
  return 0;
}

void fc_netlink_close (fc_netlink *n) {
  fc_files_close(&n->fd);
}

int fc_netlink_netns (const fc_netlink *n, int *netns, fc_error *err) {
  int fd = n->elsewhere ? ioctl(n->fd, SIOCGSKNS) : -1;
  if (n->elsewhere && fd < 0)
    return fc_error_system(err, errno, "cannot get at the socket's network namespace%s",
                           errno == EPERM ? " (needs CAP_NET_ADMIN)" : "");
  *netns = fd;
  return 0;
}

/* ---- requests ---- */

void fc_netlink_begin (fc_netlink_request *q, uint16_t type, uint16_t flags, const void *header, size_t size) {
  q->full = false;
  mnl_nlmsg_put_header(q->bytes);
  q->header.nlmsg_type = type;
  q->header.nlmsg_flags = flags | NLM_F_REQUEST;
  fc_netlink_put_header(q, header, size);
}

void fc_netlink_put_header (fc_netlink_request *q, const void *bytes, size_t size) {
  if (q->header.nlmsg_len + MNL_ALIGN(size) > sizeof q->bytes)
    q->full = true;
  else
    memcpy(mnl_nlmsg_put_extra_header(&q->header, size), bytes, size);
}

void fc_netlink_put (fc_netlink_request *q, uint16_t type, const void *bytes, size_t size) {
  if (!mnl_attr_put_check(&q->header, sizeof q->bytes, type, size, bytes))
    q->full = true;
}

void fc_netlink_put_u32 (fc_netlink_request *q, uint16_t type, uint32_t value) {
  fc_netlink_put(q, type, &value, sizeof value);
}

void fc_netlink_put_text (fc_netlink_request *q, uint16_t type, const char *text) {
  fc_netlink_put(q, type, text, strlen(text) + 1);
}

struct nlattr *fc_netlink_nest (fc_netlink_request *q, uint16_t type) {
  struct nlattr *nest = mnl_attr_nest_start_check(&q->header, sizeof q->bytes, type);
  q->full = q->full || !nest;
  return nest;
}

void fc_netlink_end (fc_netlink_request *q, struct nlattr *nest) {
  if (nest)
    mnl_attr_nest_end(&q->header, nest);
}

/* ---- replies ---- */

/* The attributes behind an acknowledgement: the text of NLMSGERR_ATTR_MSG. */
static void read_explanation (fc_netlink_reply *reply, const struct nlmsghdr *message) {
  const struct nlmsgerr *outcome = mnl_nlmsg_get_payload(message);
  size_t offset = sizeof *outcome;
  if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
    return;
  if (!(message->nlmsg_flags & NLM_F_CAPPED)) {   /* the request comes back before them */
    if (outcome->msg.nlmsg_len < sizeof outcome->msg || outcome->msg.nlmsg_len > message->nlmsg_len)
      return;
    offset += MNL_ALIGN(outcome->msg.nlmsg_len) - sizeof outcome->msg;
  }
  if (offset > mnl_nlmsg_get_payload_len(message))
    return;
  const struct nlattr *a;
  mnl_attr_for_each (a, message, offset) {
    if (mnl_attr_get_type(a) != NLMSGERR_ATTR_MSG)
      continue;
    snprintf(reply->text, sizeof reply->text, "%.*s", (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
    return;
  }
}

bool fc_netlink_read (fc_netlink_reply *reply, const void *bytes, size_t size) {
  const struct nlmsghdr *message = bytes;
  int left = size > INT32_MAX ? 0 : (int)size;
  /* libmnl 1.0.4 takes a length over 2 GiB for a negative one */
  for (; mnl_nlmsg_ok(message, left) && message->nlmsg_len <= (uint32_t)left;
       message = mnl_nlmsg_next(message, &left)) {
    if (message->nlmsg_seq != reply->seq || message->nlmsg_pid != reply->port)
      continue;   /* to a request that was given up */
    reply->changed = reply->changed || message->nlmsg_flags & NLM_F_DUMP_INTR;
    if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
      size_t length = mnl_nlmsg_get_payload_len(message);
      int code = 0;
      if (length >= sizeof code)
        memcpy(&code, mnl_nlmsg_get_payload(message), sizeof code);
      reply->error = code <= 0 && code > -4096 ? -code : EPROTO;
      if (message->nlmsg_type == NLMSG_ERROR && length >= sizeof (struct nlmsgerr))
        read_explanation(reply, message);
      else if (message->nlmsg_type == NLMSG_ERROR)
        reply->error = EPROTO;
      return true;
    }
    if (message->nlmsg_type >= NLMSG_MIN_TYPE && reply->row && !reply->memory)
      reply->memory = reply->row(message, reply->data) < 0;
  }
  return false;
}

/* errno of the outcome. What is left of a reply that went wrong is read all the same: the next one is behind it. */
static int receive (const fc_netlink *n, fc_netlink_reply *reply) {
  union {
    struct nlmsghdr header;
    char bytes[RECEIVE_SIZE];
  } buffer;
  double deadline = fc_now() + patience;
  int lost = 0;
  while (true) {
    struct sockaddr_nl from = {0};
    socklen_t from_size = sizeof from;
    ssize_t size = recvfrom(n->fd, &buffer, sizeof buffer, MSG_TRUNC, (struct sockaddr *)&from, &from_size);
    if (size < 0 && errno == EAGAIN) {
      double left = deadline - fc_now();
      struct pollfd p = {.fd = n->fd, .events = POLLIN};
      if (lost)
        return lost;
      if (left <= 0)
        return ETIMEDOUT;
      poll(&p, 1, (int)(left * 1e3) + 1);
    } else if (size < 0 && errno == ENOBUFS) {
      lost = ENOBUFS;
    } else if (size < 0 && errno != EINTR) {
      return errno;
    } else if (size > (ssize_t)sizeof buffer) {
      lost = EMSGSIZE;
    } else if (size >= 0 && from.nl_pid == 0 && fc_netlink_read(reply, &buffer, (size_t)size)) {
      return reply->memory ? ENOMEM : reply->error ? reply->error : reply->row ? lost : 0;
    }
  }
}

static int ask (fc_netlink *n, fc_netlink_request *q, fc_netlink_reply *reply) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (q->full)
    return EMSGSIZE;
  reply->port = n->port;
  reply->seq = q->header.nlmsg_seq = ++n->seq;
  reply->text[0] = '\0';
  reply->changed = reply->memory = false;
  if (sendto(n->fd, q->bytes, q->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
    return errno;
  return receive(n, reply);
}

static int refuse (const fc_netlink_reply *reply, int error, fc_error *err, const char *format, va_list args) {
  char what[200];
  vsnprintf(what, sizeof what, format, args);
  fc_error_system(err, error, "cannot %s", what);
  err->code = "netlink";
  size_t used = strlen(err->message), room = sizeof err->message - used;
  if (reply->text[0])
    snprintf(err->message + used, room, ": %s", reply->text);
  else if (error == EPERM)
    snprintf(err->message + used, room, " (needs CAP_NET_ADMIN)");
  return -1;
}

int fc_netlink_ask (fc_netlink *n, fc_netlink_request *q, fc_error *err, const char *format, ...) {
  fc_netlink_reply reply = {0};
  q->header.nlmsg_flags |= NLM_F_ACK;
  int error = ask(n, q, &reply);
  if (error == 0)
    return 0;
  va_list args;
  va_start(args, format);
  refuse(&reply, error, err, format, args);
  va_end(args);
  return -1;
}

int fc_netlink_list (fc_netlink *n, fc_netlink_request *q, fc_netlink_row *row, void *data, fc_buffer *rows,
                     fc_error *err, const char *format, ...) {
  fc_netlink_reply reply = {.row = row, .data = data};
  int error, tries = 0;
  if (!(q->header.nlmsg_flags & NLM_F_DUMP))
    q->header.nlmsg_flags |= NLM_F_ACK;
  do {
    fc_buffer_clear(rows);
    error = ask(n, q, &reply);
    if (error == 0 && reply.changed)
      error = EINTR;
  } while ((error == EINTR || error == ENOBUFS) && ++tries < TRIES);
  if (error == 0)
    return 0;
  if (error == ENOMEM && reply.memory)
    return fc_error_memory(err);
  va_list args;
  va_start(args, format);
  refuse(&reply, error, err, format, args);
  va_end(args);
  return -1;
}

/* ---- names: by ioctl, which works on a netlink socket in its namespace and is far cheaper than a request ---- */

int fc_netlink_index (const fc_netlink *n, const char *name, const char *what, uint32_t *index, fc_error *err) {
  struct ifreq r = {0};
  snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
  if (ioctl(n->fd, SIOCGIFINDEX, &r) < 0) {
    fc_error_system(err, errno, "cannot %s: link %s", what, name);
    err->code = "netlink";
    return -1;
  }
  *index = (uint32_t)r.ifr_ifindex;
  return 0;
}

void fc_netlink_name (const fc_netlink *n, uint32_t index, char name[16]) {
  struct ifreq r = {.ifr_ifindex = (int)index};
  name[0] = '\0';
  if (index && ioctl(n->fd, SIOCGIFNAME, &r) == 0)
    memcpy(name, r.ifr_name, IFNAMSIZ);
}

/* ---- settings ---- */

int fc_netlink_sysctl (const fc_netlink *n, const char *key, const char *wanted, char *value, size_t size,
                       fc_error *err) {
  char path[256];
  int netns = -1, fd = -1;
  if (key[0] == '/' || strstr(key, "..") || snprintf(path, sizeof path, "/proc/sys/net/%s", key) >= (int)sizeof path)
    return fc_error_set(err, "system", EINVAL, "'%s' is no setting", key);
  if (fc_netlink_netns(n, &netns, err) < 0)
    return -1;
  int rc = fc_netns_open_file(netns, path, wanted ? O_WRONLY : O_RDONLY, &fd, err);
  fc_files_close(&netns);
  if (rc < 0)
    return -1;
  ssize_t done = wanted ? write(fd, wanted, strlen(wanted)) : read(fd, value, size - 1);
  if (done < 0)
    fc_error_system(err, errno, "cannot %s %s", wanted ? "write" : "read", path);
  fc_files_close(&fd);
  if (done < 0)
    return -1;
  if (!wanted) {
    value[done] = '\0';
    value[strcspn(value, "\n")] = '\0';
  }
  return 0;
}
