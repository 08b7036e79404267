/* netlink: requests to the kernel's network configuration and their replies. A socket works on the namespace it was
 * made in, whichever the caller is in. Errors have code "netlink" and carry the kernel's own explanation.
 * @see netlink(7), rtnetlink(7) */
#ifndef FC_NETLINK_H
#define FC_NETLINK_H

#include "buffer.h"
#include "error.h"

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

typedef struct {
  int fd;           /* -1: closed */
  uint32_t port;    /* its address, given by the kernel */
  uint32_t seq;     /* of the last request */
  bool elsewhere;   /* made in a namespace that is not the caller's */
} fc_netlink;

/* A request being built; attributes that do not fit are refused when it is sent. */
typedef struct {
  union {
    struct nlmsghdr header;
    char bytes[1024];
  };
  bool full;
} fc_netlink_request;

/* Takes a message of a reply; -1: out of memory. */
typedef int fc_netlink_row (const struct nlmsghdr *message, void *data);

/* Where reading the replies to one request stands. */
typedef struct {
  uint32_t port, seq;
  fc_netlink_row *row;   /* NULL: nothing but the outcome is wanted */
  void *data;
  bool changed;          /* what was dumped changed meanwhile */
  bool memory;           /* a row did not fit into memory */
  int error;             /* errno of the outcome */
  char text[160];        /* the kernel's explanation; "" without one */
} fc_netlink_reply;

/* Open a socket: in the namespace of descriptor `netns`, or in the caller's (-1). */
int fc_netlink_open (fc_netlink *n, int netns, fc_error *err);
/* Idempotent. */
void fc_netlink_close (fc_netlink *n);
/* A descriptor of the socket's namespace, -1 where it is the caller's; close it. */
int fc_netlink_netns (const fc_netlink *n, int *netns, fc_error *err);

/* Begin a request: its type, flags (NLM_F_REQUEST is added) and fixed header, `size` bytes at `header`. */
void fc_netlink_begin (fc_netlink_request *q, uint16_t type, uint16_t flags, const void *header, size_t size);
void fc_netlink_put (fc_netlink_request *q, uint16_t type, const void *bytes, size_t size);
void fc_netlink_put_u32 (fc_netlink_request *q, uint16_t type, uint32_t value);
void fc_netlink_put_text (fc_netlink_request *q, uint16_t type, const char *text);
struct nlattr *fc_netlink_nest (fc_netlink_request *q, uint16_t type);
void fc_netlink_end (fc_netlink_request *q, struct nlattr *nest);
/* Bytes of a header inside a nest. */
void fc_netlink_put_header (fc_netlink_request *q, const void *bytes, size_t size);

/* Send a request and wait for its outcome; the error says "cannot " and what `format` gives. */
int fc_netlink_ask (fc_netlink *n, fc_netlink_request *q, fc_error *err, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
/* The same, every message of the reply to `row`. With NLM_F_DUMP it starts again when the kernel's list changed
 * meanwhile: `rows`, which row fills, is cleared then. */
int fc_netlink_list (fc_netlink *n, fc_netlink_request *q, fc_netlink_row *row, void *data, fc_buffer *rows,
                     fc_error *err, const char *format, ...) __attribute__ ((format (printf, 7, 8)));

/* Read what was received; whether the outcome is known. Bytes may be anything. */
bool fc_netlink_read (fc_netlink_reply *reply, const void *bytes, size_t size);

/* Index of a link; an error with ENODEV names it after "cannot " and `what`. */
int fc_netlink_index (const fc_netlink *n, const char *name, const char *what, uint32_t *index, fc_error *err);
/* Name of a link, "" for one that is gone. */
void fc_netlink_name (const fc_netlink *n, uint32_t index, char name[16]);

/* Write a setting below /proc/sys/net of the socket's namespace, or read it (wanted NULL) without its newline.
 * `key` has slashes: "ipv4/ip_forward". */
int fc_netlink_sysctl (const fc_netlink *n, const char *key, const char *wanted, char *value, size_t size,
                       fc_error *err);

#pragma GCC visibility pop
#endif
