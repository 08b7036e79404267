/* stream: bytes read from a descriptor as they come (a FIFO, a pty's master, a socket), kept in a
 * bounded buffer and taken whole, in pieces or by lines; and bytes sent to a socket or a terminal.
 * A full buffer stops the reading, never the writer's data; that of a ring forgets its oldest bytes instead. */
#ifndef FC_STREAM_H
#define FC_STREAM_H

#include "buffer.h"
#include "reactor.h"

#pragma GCC visibility push(hidden)

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  fc_wake wake;              /* fired when bytes, the end or an error have come */
  fc_wake room;              /* fired when more can be sent, after fc_stream_await_room */
  int fd;
  fc_buffer buffer;
  size_t limit;              /* bytes kept at most */
  size_t want;               /* as many are kept all the same: somebody waits for them */
  size_t scanned;            /* of them known to hold no newline */
  size_t chunk;              /* bytes of the next read */
  uint64_t dropped;          /* bytes that a ring forgot */
  bool ring;
  bool blocked;              /* its descriptor, before it was ours */
  bool socket;               /* a short read has emptied it */
  bool awaiting_room;
  bool ended;                /* no more bytes will come */
  int error;                 /* errno of the read that ended it; 0: an orderly end */
} fc_stream;

/* Takes the descriptor over (also on failure) and makes it non-blocking. */
int fc_stream_open (fc_stream *s, fc_reactor *r, int fd, size_t limit, bool ring, fc_error *err);
/* The same for a socket that does not block already. */
int fc_stream_open_socket (fc_stream *s, fc_reactor *r, int fd, size_t limit, fc_error *err);
void fc_stream_close (fc_stream *s);
/* Read no more and close the descriptor; what is there can still be taken. */
void fc_stream_finish (fc_stream *s);
/* Read what there is without waiting. */
void fc_stream_fill (fc_stream *s);
/* Send bytes to the other end of a socket or a pty: how many went, 0 when there is no room. @see sendmsg(2) */
ssize_t fc_stream_send (fc_stream *s, const char *bytes, size_t n, fc_error *err);
/* Have `room` fired once more can be sent. */
int fc_stream_await_room (fc_stream *s, fc_error *err);
/* Keep up to so many bytes, beyond the limit; 0: no longer. */
void fc_stream_want (fc_stream *s, size_t n);
/* Forget n bytes that were looked at; reading goes on when there is room again. */
void fc_stream_take (fc_stream *s, size_t n);
/* Length of the first line with its newline; of all that is left once the end has come or the buffer
 * is full without one; 0 when a whole line is not there yet. */
size_t fc_stream_line (fc_stream *s);

#pragma GCC visibility pop
#endif
