/* lines: a stream gives the lines a naive splitter gives, whatever the chunks in which they come, are read and taken.
 * Input: the limit (two bytes), then pieces: a length byte and so many bytes; a length over 250 takes what is there as
 * a whole; an odd one fills without the reactor. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "sys/clock.h"
#include "sys/stream.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char written[1 << 20], taken[1 << 20];   /* what went in; what came out */
static size_t put, got;

/* One line, or all there is. */
static size_t take (fc_stream *s, int whole) {
  size_t n = whole ? s->buffer.length : fc_stream_line(s);
  const char *bytes = fc_buffer_bytes(&s->buffer);
  if (n == 0)
    return 0;
  if (!whole) {
    const char *newline = memchr(written + got, '\n', put - got);
    size_t naive = newline ? (size_t)(newline - written) + 1 - got : put - got;
    FUZZ_CHECK(n == naive || (n < naive && n == s->limit));   /* cut only where the stream is full */
  }
  memcpy(taken + got, bytes, n);
  got += n;
  fc_stream_take(s, n);
  return n;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  fc_reactor r;
  fc_stream s;
  fc_error err;
  int ends[2];
  if (size < 3)
    return 0;
  size_t limit = 1 + (data[0] | (size_t)data[1] << 8) % 9000;
  put = got = 0;
  FUZZ_CHECK(fc_reactor_open(&r, &err) == 0 && pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  FUZZ_CHECK(fc_stream_open(&s, &r, ends[0], limit, false, &err) == 0);
  for (size_t at = 2; at < size;) {
    size_t length = data[at++], n = length < size - at ? length : size - at;
    ssize_t accepted = n && put + n < sizeof written ? write(ends[1], data + at, n) : 0;
    if (accepted > 0) {
      memcpy(written + put, data + at, (size_t)accepted);
      put += (size_t)accepted;
    }
    at += n;
    if (length & 1)
      fc_stream_fill(&s);
    else
      FUZZ_CHECK(fc_reactor_step(&r, -FC_NEVER, &err) == FC_STEP_DONE);
    FUZZ_CHECK(s.buffer.length <= limit);
    if (length > 200)
      while (take(&s, length > 250) > 0) {}
  }
  close(ends[1]);
  while (!s.ended || s.buffer.length > 0) {
    size_t before = got;
    FUZZ_CHECK(fc_reactor_step(&r, fc_now() + 5, &err) == FC_STEP_DONE);
    while (fc_reactor_fired(&r)) {}
    while (take(&s, 0) > 0) {}
    FUZZ_CHECK(s.ended || got > before || s.source.registered);
  }
  FUZZ_CHECK(got == put && memcmp(written, taken, put) == 0);
  fc_stream_close(&s);
  FUZZ_CHECK(!r.first);   /* nothing is fired for a stream that is closed */
  fc_reactor_close(&r);
  return 0;
}
