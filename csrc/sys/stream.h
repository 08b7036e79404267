/* stream: bytes read from a descriptor as they come (a FIFO, a pty's master, a socket), kept in a
 * bounded buffer and taken whole or by lines. A full buffer stops the reading, never the writer's data. */
#ifndef FC_STREAM_H
#define FC_STREAM_H

#include "buffer.h"
#include "reactor.h"

#pragma GCC visibility push(hidden)

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  fc_wake wake;              /* fired when bytes, the end or an error have come */
  int fd;
  fc_buffer buffer;
  size_t limit;              /* bytes kept at most */
  bool ended;                /* no more bytes will come */
  int error;                 /* errno of the read that ended it; 0: an orderly end */
} fc_stream;

/* Takes the descriptor over (also on failure) and makes it non-blocking. */
int fc_stream_open (fc_stream *s, fc_reactor *r, int fd, size_t limit, fc_error *err);
void fc_stream_close (fc_stream *s);
/* Read what there is without waiting. */
void fc_stream_fill (fc_stream *s);
/* Send bytes to the other end of a socket: how many went, 0 when there is no room. @see send(2) */
ssize_t fc_stream_send (fc_stream *s, const char *bytes, size_t n, fc_error *err);
/* Forget n bytes that were looked at; reading goes on when there is room again. */
void fc_stream_take (fc_stream *s, size_t n);
/* Length of the first line with its newline; of all that is left once the end has come or the buffer
 * is full without one; 0 when a whole line is not there yet. */
size_t fc_stream_line (const fc_stream *s);

#pragma GCC visibility pop
#endif
