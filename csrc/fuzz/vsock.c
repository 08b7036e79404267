/* vsock: the reply to a dial, compared with a naive reading of it, whatever the pieces in which it comes; what follows is whole.
 * Input: pieces, each a length byte and so many bytes. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "sys/clock.h"
#include "sys/stream.h"
#include "sys/vsock.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char sent[1 << 16];

/* Length of "OK PORT\n" at the beginning of a text; -1: something else, or cut. */
static ssize_t naive (const char *text, size_t n) {
  const char *end = memchr(text, '\n', n);
  char digits[16] = "";
  if (n < 5 || !end || memcmp(text, "OK ", 3) != 0 || end - text - 3 > 10 || end == text + 3)
    return -1;
  memcpy(digits, text + 3, (size_t)(end - text - 3));
  if (strspn(digits, "0123456789") != (size_t)(end - text - 3))
    return -1;
  unsigned long long port = strtoull(digits, NULL, 10);
  return port <= UINT32_MAX ? end - text + 1 : -1;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  fc_reactor r;
  fc_stream s;
  fc_error err;
  int ends[2];
  size_t put = 0, expected;
  ssize_t reply = 0;
  FUZZ_CHECK(fc_reactor_open(&r, &err) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  FUZZ_CHECK(fc_stream_open(&s, &r, ends[0], sizeof sent, false, &err) == 0);
  for (size_t at = 0; at < size;) {
    size_t length = data[at++], n = length < size - at ? length : size - at;
    if (n > 0 && put + n < sizeof sent && send(ends[1], data + at, n, MSG_NOSIGNAL) == (ssize_t)n) {
      memcpy(sent + put, data + at, n);
      put += n;
    }
    at += n;
    FUZZ_CHECK(fc_reactor_step(&r, -FC_NEVER, &err) == FC_STEP_DONE);
    if (reply != 0)
      continue;
    reply = fc_vsock_reply(fc_buffer_bytes(&s.buffer), s.buffer.length);
    FUZZ_CHECK(reply <= (ssize_t)s.buffer.length);
    if (reply > 0)
      fc_stream_take(&s, (size_t)reply);
  }
  close(ends[1]);
  fc_stream_fill(&s);
  FUZZ_CHECK(s.ended);
  FUZZ_CHECK((reply > 0) == (naive(sent, put) > 0) && (reply <= 0 || reply == naive(sent, put)));
  expected = reply > 0 ? put - (size_t)reply : put;
  FUZZ_CHECK(s.buffer.length == expected && memcmp(fc_buffer_bytes(&s.buffer), sent + put - expected, expected) == 0);
  if (reply == 0)   /* a beginning of a reply, and not more of anything */
    FUZZ_CHECK(put < 16 && (put < 4 ? memcmp(sent, "OK ", put < 3 ? put : 3) == 0 : strspn(sent + 3, "0123456789") >= put - 3));
  fc_stream_close(&s);
  fc_reactor_close(&r);
  return 0;
}
