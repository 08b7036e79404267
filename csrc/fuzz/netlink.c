/* netlink: whatever a reply holds, reading it stays inside it, ends, and gives texts that end. And an address or a MAC
 * that is read and written is read as the same.
 * Input: what it is (one byte), then the bytes of a reply, or a text. */
#include "fuzz.h"
#include "sys/netlink_objects.h"

#include <string.h>

#define TEXT_ENDS(text) FUZZ_CHECK(memchr((text), 0, sizeof (text)))

static void check_text (const char *text) {
  fc_address a, b;
  fc_mac mac;
  char written[FC_ADDRESS_TEXT];
  if (fc_address_parse(text, &a)) {
    FUZZ_CHECK(a.prefix <= (a.family == 2 ? 32 : 128));
    fc_address_format(&a, true, written);
    FUZZ_CHECK(fc_address_parse(written, &b) && memcmp(&a, &b, sizeof a) == 0);
  }
  if (fc_mac_parse(text, &mac))
    FUZZ_CHECK(strlen(text) == 17);
}

static void check_rows (int what, const fc_buffer *rows) {
  static const size_t sizes[] = {sizeof (fc_link), sizeof (fc_address_row), sizeof (fc_route_row),
                                 sizeof (fc_neighbour_row), sizeof (fc_redirect_row)};
  const char *at = fc_buffer_bytes(rows), *end = at + rows->length;
  FUZZ_CHECK(rows->length % sizes[what] == 0);
  for (; at < end; at += sizes[what]) {
    union {
      fc_link link;
      fc_address_row address;
      fc_route_row route;
      fc_neighbour_row neighbour;
      fc_redirect_row redirect;
    } row;
    memcpy(&row, at, sizes[what]);
    if (what == 0) {
      TEXT_ENDS(row.link.name);
      TEXT_ENDS(row.link.kind);
      TEXT_ENDS(row.link.mac);
      FUZZ_CHECK(strlen(row.link.state) > 0);
    } else if (what == 1) {
      TEXT_ENDS(row.address.address);
      check_text(row.address.address);
    } else if (what == 2) {
      TEXT_ENDS(row.route.to);
      TEXT_ENDS(row.route.via);
      FUZZ_CHECK(strlen(row.route.type) > 0 && strlen(row.route.scope) > 0);
    } else if (what == 3) {
      TEXT_ENDS(row.neighbour.address);
      TEXT_ENDS(row.neighbour.mac);
    }
  }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  static fc_netlink_row *const readers[] = {fc_netlink_link_row, fc_netlink_address_row, fc_netlink_route_row,
                                            fc_netlink_neighbour_row, fc_netlink_redirect_row};
  enum { READERS = sizeof readers / sizeof *readers, LIMIT = 32768 };
  if (size < 1 || size > LIMIT)
    return 0;
  int what = data[0] % (READERS + 2);
  data++, size--;
  bool text = what == READERS + 1;
  char *bytes = calloc(1, text ? size + 1 : (size + 3) & ~(size_t)3);   /* as aligned as what recv(2) fills, no longer */
  FUZZ_CHECK(bytes);
  if (size)
    memcpy(bytes, data, size);
  if (text) {
    check_text(bytes);
  } else {
    fc_buffer rows = {0};
    fc_netlink none = {.fd = -1};
    fc_netlink_rows list = {&none, &rows, 0, 0};
    fc_netlink_reply reply = {.row = what < READERS ? readers[what] : NULL, .data = &list};
    if (size >= sizeof (struct nlmsghdr)) {   /* the first message is to us */
      struct nlmsghdr first;
      memcpy(&first, bytes, sizeof first);
      reply.seq = first.nlmsg_seq;
      reply.port = first.nlmsg_pid;
    }
    bool known = fc_netlink_read(&reply, bytes, size);
    FUZZ_CHECK(reply.error >= 0 && reply.error < 4096 && (known || reply.error == 0));
    TEXT_ENDS(reply.text);
    if (what < READERS)
      check_rows(what, &rows);
    fc_buffer_free(&rows);
  }
  free(bytes);
  return 0;
}
