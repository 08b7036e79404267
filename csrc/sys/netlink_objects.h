/* netlink_objects: links, addresses, routes, neighbours and redirects, each as a struct. Creating what is there is EEXIST;
 * deleting what is gone fails with the kernel's own number (ENODEV, EADDRNOTAVAIL, ESRCH, ENOENT).
 * @see rtnetlink(7) */
#ifndef FC_NETLINK_OBJECTS_H
#define FC_NETLINK_OBJECTS_H

#include "netlink.h"

#pragma GCC visibility push(hidden)

enum { FC_LINK_NAME = 16, FC_ADDRESS_TEXT = 64, FC_MAC_TEXT = 18 };

/* An address, or a block of them. */
typedef struct {
  uint8_t family;      /* AF_INET, AF_INET6; 0: none, and of a route's target: all */
  uint8_t prefix;      /* bits */
  uint8_t bytes[16];
} fc_address;

typedef struct {
  bool given;
  uint8_t bytes[6];
} fc_mac;

/* Text to an address with or without its prefix length, without one the longest; false: it is none. */
bool fc_address_parse (const char *text, fc_address *address);
/* Its text, the prefix length behind it if wanted. */
void fc_address_format (const fc_address *address, bool prefix, char text[FC_ADDRESS_TEXT]);
bool fc_mac_parse (const char *text, fc_mac *mac);

/* What an attribute of the kernel's says: a number, 0 if it is none; an Ethernet address's text, left alone if it is none. */
struct nlattr;
uint32_t fc_netlink_u32 (const struct nlattr *a);
void fc_netlink_mac (const struct nlattr *a, char text[FC_MAC_TEXT]);

/* ---- links ---- */

/* What is to be of a link; fields left at their defaults stay as they are. */
typedef struct {
  const char *name;         /* of a new link; the new name of another */
  const char *kind;         /* of a new link: "bridge", "veth", "dummy", … */
  const char *master;       /* name of the bridge it is to be a port of; "": of none */
  int up;                   /* 1, 0; -1: as it is */
  uint32_t mtu;             /* 0: as it is */
  fc_mac mac;
  int netns;                /* descriptor of the namespace to live in; -1: as it is */
  const char *peer;         /* the other end of a veth */
  fc_mac peer_mac;
  int peer_netns;
} fc_link_change;

#define FC_LINK_CHANGE {.up = -1, .netns = -1, .peer_netns = -1}

typedef struct {
  uint32_t index;
  char name[FC_LINK_NAME], kind[FC_LINK_NAME], master[FC_LINK_NAME], mac[FC_MAC_TEXT];
  const char *state;        /* as `ip link` says it */
  uint32_t mtu;
  bool up, carrier;
  bool tap, vnet_hdr, multi_queue, persistent;   /* of a tap */
  int64_t owner, group;                          /* -1: none */
  uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
} fc_link;

int fc_netlink_add_link (fc_netlink *n, const fc_link_change *link, fc_error *err);
int fc_netlink_set_link (fc_netlink *n, const char *name, const fc_link_change *change, fc_error *err);
int fc_netlink_delete_link (fc_netlink *n, const char *name, fc_error *err);
/* Append an fc_link for each link, or for the one of this name. */
int fc_netlink_links (fc_netlink *n, const char *name, fc_buffer *rows, fc_error *err);

/* ---- addresses ---- */

typedef struct {
  fc_address address;
  bool nodad;               /* IPv6: usable at once */
} fc_address_change;

typedef struct {
  char link[FC_LINK_NAME], address[FC_ADDRESS_TEXT];
  uint32_t family;          /* 4 or 6 */
  const char *scope;        /* "global", "link", "host", "site" */
  bool tentative, failed, permanent;
} fc_address_row;

int fc_netlink_add_address (fc_netlink *n, const char *link, const fc_address_change *a, fc_error *err);
int fc_netlink_delete_address (fc_netlink *n, const char *link, const fc_address *a, fc_error *err);
/* Append an fc_address_row each, of one link or all (NULL). */
int fc_netlink_addresses (fc_netlink *n, const char *link, fc_buffer *rows, fc_error *err);

/* ---- routes ---- */

typedef struct {
  fc_address to;            /* family 0: everything */
  fc_address via, source;
  const char *link;
  uint32_t metric, table;   /* 0: the kernel's choice, the main table */
  bool onlink, replace;
} fc_route_change;

typedef struct {
  char link[FC_LINK_NAME], to[FC_ADDRESS_TEXT], via[FC_ADDRESS_TEXT], source[FC_ADDRESS_TEXT];
  uint32_t family, metric, table, protocol;
  const char *type;         /* "unicast", "local", "blackhole", … */
  const char *scope;
} fc_route_row;

int fc_netlink_add_route (fc_netlink *n, const fc_route_change *r, fc_error *err);
int fc_netlink_delete_route (fc_netlink *n, const fc_route_change *r, fc_error *err);
/* Append an fc_route_row each, of one table (0: all) and one link or all; of several next hops, one each. */
int fc_netlink_routes (fc_netlink *n, const char *link, uint32_t table, fc_buffer *rows, fc_error *err);

/* ---- neighbours ---- */

typedef struct {
  const char *link;
  fc_address address;
  fc_mac mac;
  bool replace;
} fc_neighbour_change;

typedef struct {
  char link[FC_LINK_NAME], address[FC_ADDRESS_TEXT], mac[FC_MAC_TEXT];
  uint32_t family;
  const char *state;        /* "permanent", "reachable", … */
} fc_neighbour_row;

int fc_netlink_add_neighbour (fc_netlink *n, const fc_neighbour_change *c, fc_error *err);
int fc_netlink_delete_neighbour (fc_netlink *n, const fc_neighbour_change *c, fc_error *err);
int fc_netlink_neighbours (fc_netlink *n, const char *link, fc_buffer *rows, fc_error *err);

/* ---- redirects: all that comes in at one link goes out at another ---- */

typedef struct {
  char from[FC_LINK_NAME], to[FC_LINK_NAME];
  uint64_t bytes, packets;
} fc_redirect_row;

/* The ingress queueing discipline that holds redirects; without it they are gone. */
int fc_netlink_add_ingress (fc_netlink *n, const char *link, fc_error *err);
int fc_netlink_delete_ingress (fc_netlink *n, const char *link, fc_error *err);
int fc_netlink_add_redirect (fc_netlink *n, const char *from, const char *to, fc_error *err);
/* Append an fc_redirect_row for each redirect of a link. */
int fc_netlink_redirects (fc_netlink *n, const char *link, fc_buffer *rows, fc_error *err);

/* ---- what the lists are made by: each takes one message, whose bytes may be anything ---- */

typedef struct {
  const fc_netlink *netlink;   /* tells links' names */
  fc_buffer *rows;
  uint32_t link, table;        /* those of one link, of one table; 0: all */
} fc_netlink_rows;

fc_netlink_row fc_netlink_link_row, fc_netlink_address_row, fc_netlink_route_row, fc_netlink_neighbour_row,
    fc_netlink_redirect_row;

#pragma GCC visibility pop
#endif
