/* stream: see stream.h. @see read(2), send(2), fifo(7), pty(7) */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 4096, READS_AT_ONCE = 16 };

static void end_stream (fc_stream *s, int error) {
  s->ended = true;
  s->error = error;
  fc_reactor_unwatch(s->reactor, &s->source);
}

void fc_stream_fill (fc_stream *s) {
  size_t before = s->buffer.length;
  for (int i = 0; i < READS_AT_ONCE && !s->ended && s->buffer.length < s->limit; i++) {
    size_t room = s->limit - s->buffer.length;
    char *to = fc_buffer_reserve(&s->buffer, room < READ_SIZE ? room : READ_SIZE);
    if (!to) {
      end_stream(s, ENOMEM);
      break;
    }
    ssize_t n = read(s->fd, to, room < READ_SIZE ? room : READ_SIZE);
    if (n > 0)
      fc_buffer_commit(&s->buffer, (size_t)n);
    else if (n == 0 || errno == EIO)   /* EIO: the last writer of a pty is gone */
      end_stream(s, 0);
    else if (errno == EAGAIN || errno == EINTR)
      break;
    else
      end_stream(s, errno);
  }
  if (!s->ended && s->buffer.length >= s->limit) {
    fc_error err;
    if (fc_reactor_change(s->reactor, &s->source, 0, &err) < 0)
      end_stream(s, err.errnum);
  }
  if (s->ended || s->buffer.length > before)
    fc_wake_fire(s->reactor, &s->wake);
}

static void stream_ready (fc_source *source, uint32_t events) {
  fc_stream *s = (fc_stream *)((char *)source - offsetof(fc_stream, source));
  if (s->buffer.length >= s->limit && (events & (EPOLLHUP | EPOLLERR))) {
    /* a hang-up is told even to who does not ask; the rest is read when there is room */
    fc_reactor_unwatch(s->reactor, &s->source);
    return;
  }
  fc_stream_fill(s);
}

int fc_stream_open (fc_stream *s, fc_reactor *r, int fd, size_t limit, fc_error *err) {
  *s = (fc_stream){.reactor = r, .fd = fd, .limit = limit};
  fc_wake_open(r, &s->wake);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    fc_error_system(err, errno, "cannot read descriptor %d without blocking", fd);
    fc_stream_close(s);
    return -1;
  }
  if (fc_reactor_watch(r, &s->source, fd, EPOLLIN, stream_ready, err) < 0) {
    fc_stream_close(s);
    return -1;
  }
  return 0;
}

ssize_t fc_stream_send (fc_stream *s, const char *bytes, size_t n, fc_error *err) {
  ssize_t sent = send(s->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0)
    return sent;
  return errno == EAGAIN || errno == EINTR ? 0 : fc_error_system(err, errno, "cannot send");
}

void fc_stream_take (fc_stream *s, size_t n) {
  fc_buffer_take(&s->buffer, n);
  if (s->ended || s->buffer.length >= s->limit)
    return;
  fc_error err;
  if (!s->source.registered)
    fc_stream_fill(s);
  else if (s->source.events == 0 && fc_reactor_change(s->reactor, &s->source, EPOLLIN, &err) < 0)
    end_stream(s, err.errnum);
}

size_t fc_stream_line (const fc_stream *s) {
  const char *bytes = fc_buffer_bytes(&s->buffer);
  const char *newline = s->buffer.length ? memchr(bytes, '\n', s->buffer.length) : NULL;
  if (newline)
    return (size_t)(newline - bytes) + 1;
  return s->ended || s->buffer.length >= s->limit ? s->buffer.length : 0;
}

void fc_stream_close (fc_stream *s) {
  if (!s->reactor)
    return;
  fc_reactor_unwatch(s->reactor, &s->source);
  fc_wake_close(s->reactor, &s->wake);
  if (s->fd >= 0)
    close(s->fd);
  fc_buffer_free(&s->buffer);
  *s = (fc_stream){.fd = -1};
}
