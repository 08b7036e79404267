/* stream: see stream.h. @see read(2), sendmsg(2), socket(7), fifo(7), pty(7) */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_SIZE = 4096, READ_SIZE_MAX = 256 * 1024, READS_AT_ONCE = 16, KEPT_MEMORY = 1024 * 1024 };
enum { LONG = 64 * 1024, FIRST = 4096, LINE = 64, ROOM = 416 * 1024 };   /* of what is sent */

/* How many bytes are kept now at most. */
static size_t kept (const fc_stream *s) {
  return s->want > s->limit ? s->want : s->limit;
}

static bool is_full (const fc_stream *s) {
  return !s->ring && s->buffer.length >= kept(s);
}

static void stream_ready (fc_source *source, uint32_t events);

/* Watch for what is wanted now. */
static int watch (fc_stream *s, fc_error *err) {
  uint32_t events = (s->ended || is_full(s) ? 0 : EPOLLIN) | (s->awaiting_room ? EPOLLOUT : 0);
  if (s->source.registered)
    return fc_reactor_change(s->reactor, &s->source, events, err);
  return events ? fc_reactor_watch(s->reactor, &s->source, s->fd, events, stream_ready, err) : 0;
}

static void tell_of_room (fc_stream *s) {
  if (!s->awaiting_room)
    return;
  s->awaiting_room = false;
  fc_wake_fire(s->reactor, &s->room);
}

static void end_stream (fc_stream *s, int error) {
  s->ended = true;
  s->error = error;
  fc_reactor_unwatch(s->reactor, &s->source);
  tell_of_room(s);   /* whoever waits to send finds out himself */
}

static void watch_or_end (fc_stream *s) {
  fc_error err;
  if (!s->ended && watch(s, &err) < 0)
    end_stream(s, err.errnum);
}

/* A block of this size that was freed has glibc keep what is freed up to it: the strings that large reads become would
 * otherwise be mapped and zeroed anew, time and again. @see mallopt(3), M_MMAP_THRESHOLD */
static void keep_freed_memory (void) {
  void *volatile block = malloc(KEPT_MEMORY);
  free(block);
}

/* One read; whether another may bring more. */
static bool read_once (fc_stream *s) {
  size_t room = s->chunk;
  if (!s->ring) {
    size_t left = kept(s) - s->buffer.length;
    room = left < room ? left : room;
  }
  char *to = fc_buffer_reserve(&s->buffer, room);
  if (!to) {
    end_stream(s, ENOMEM);
    return false;
  }
  ssize_t n = read(s->fd, to, room);
  if (n <= 0) {
    if (n == 0 || errno == EIO)   /* EIO: the last writer of a pty is gone */
      end_stream(s, 0);
    else if (errno != EAGAIN && errno != EINTR)
      end_stream(s, errno);
    return false;
  }
  fc_buffer_commit(&s->buffer, (size_t)n);
  if (s->ring && s->buffer.length > kept(s)) {
    size_t over = s->buffer.length - kept(s);
    s->dropped += over;
    s->scanned = s->scanned > over ? s->scanned - over : 0;
    fc_buffer_take(&s->buffer, over);
  }
  if ((size_t)n == s->chunk && s->chunk < READ_SIZE_MAX) {
    s->chunk *= 4;
    if (s->socket && s->chunk == READ_SIZE_MAX)   /* a FIFO's bytes become lines */
      keep_freed_memory();
  }
  return !s->socket || (size_t)n == room;
}

void fc_stream_fill (fc_stream *s) {
  uint64_t before = s->dropped + s->buffer.length;
  for (int i = 0; i < READS_AT_ONCE && !s->ended && !is_full(s) && read_once(s); i++) {}
  if (!is_full(s))   /* a full one is mostly emptied at once: the reactor tells of it otherwise */
    watch_or_end(s);
  if (s->ended || s->dropped + s->buffer.length > before)
    fc_wake_fire(s->reactor, &s->wake);
}

static void stream_ready (fc_source *source, uint32_t events) {
  fc_stream *s = (fc_stream *)((char *)source - offsetof(fc_stream, source));
  bool told = s->awaiting_room && (events & ~(uint32_t)EPOLLIN);
  if (told)
    tell_of_room(s);
  if (s->ended || (is_full(s) && (events & (EPOLLHUP | EPOLLERR))))
    /* a hang-up is told even to who does not ask; the rest is read when there is room */
    fc_reactor_unwatch(s->reactor, &s->source);
  else if ((events & ~(uint32_t)EPOLLOUT) && !is_full(s))
    fc_stream_fill(s);
  else if (!told)   /* who sends mostly waits for room again: that is watched for until there is room and nobody waits */
    watch_or_end(s);
}

static void take_over (fc_stream *s, fc_reactor *r, int fd, size_t limit, bool ring) {
  *s = (fc_stream){.reactor = r, .fd = fd, .limit = limit, .chunk = READ_SIZE, .ring = ring};
  fc_wake_open(r, &s->wake);
  fc_wake_open(r, &s->room);
}

static int watch_or_close (fc_stream *s, fc_error *err) {
  if (watch(s, err) == 0)
    return 0;
  fc_stream_close(s);
  return -1;
}

int fc_stream_open_socket (fc_stream *s, fc_reactor *r, int fd, size_t limit, fc_error *err) {
  take_over(s, r, fd, limit, false);
  s->socket = true;
  return watch_or_close(s, err);
}

int fc_stream_open (fc_stream *s, fc_reactor *r, int fd, size_t limit, bool ring, fc_error *err) {
  struct stat st;
  take_over(s, r, fd, limit, ring);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &st) < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
    fc_error_system(err, errno, "cannot read descriptor %d without blocking", fd);
    fc_stream_close(s);
    return -1;
  }
  s->blocked = !(flags & O_NONBLOCK);
  s->socket = S_ISSOCK(st.st_mode);
  return watch_or_close(s, err);
}

/* A long text in two pieces: what is copied to pages from an address that lies as they do is copied faster by a tenth. */
static ssize_t send_long (int fd, const char *bytes, size_t n) {
  size_t first = FIRST + (LINE - (uintptr_t)bytes % LINE) % LINE;
  ssize_t sent = send(fd, bytes, first, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != (ssize_t)first)
    return sent;
  ssize_t rest = send(fd, bytes + first, n - first, MSG_NOSIGNAL | MSG_DONTWAIT);
  return rest > 0 ? sent + rest : sent;
}

ssize_t fc_stream_send (fc_stream *s, const char *bytes, size_t n, fc_error *err) {
  ssize_t sent;
  if (s->fd < 0) {
    return fc_error_system(err, EPIPE, "cannot send");
  } else if (s->socket) {
    sent = n < LONG ? send(s->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) : send_long(s->fd, bytes, n);
  } else if (!isatty(s->fd)) {   /* a pipe would raise SIGPIPE */
    return fc_error_system(err, ENOTSOCK, "cannot send");
  } else {
    sent = write(s->fd, bytes, n);
  }
  if (sent >= 0)
    return sent;
  return errno == EAGAIN || errno == EINTR ? 0 : fc_error_system(err, errno, "cannot send");
}

/* Who sends more than is read gets twice the usual room: the other end reads on while the sender wakes up. */
static void widen (int fd) {
  int room;
  socklen_t size = sizeof room;
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && room < ROOM) {
    room = ROOM / 2;   /* the kernel doubles it */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, size);
  }
}

int fc_stream_await_room (fc_stream *s, fc_error *err) {
  if (s->fd < 0)
    return fc_error_system(err, EPIPE, "cannot send");
  if (s->socket)
    widen(s->fd);
  s->awaiting_room = true;
  if (watch(s, err) == 0)
    return 0;
  s->awaiting_room = false;
  return -1;
}

void fc_stream_want (fc_stream *s, size_t n) {
  if (s->want == n)
    return;
  s->want = n;
  watch_or_end(s);
}

void fc_stream_take (fc_stream *s, size_t n) {
  fc_buffer_take(&s->buffer, n);
  s->scanned = s->scanned > n ? s->scanned - n : 0;
  if (s->buffer.length == 0 && s->buffer.capacity > KEPT_MEMORY && s->buffer.capacity / 4 > s->limit)
    fc_buffer_free(&s->buffer);
  if (s->ended || is_full(s))
    return;
  if (s->buffer.length == 0)
    fc_wake_close(s->reactor, &s->wake);   /* nothing more to tell of */
  if (!s->source.registered)
    fc_stream_fill(s);
  else
    watch_or_end(s);
}

size_t fc_stream_line (fc_stream *s) {
  const char *bytes = fc_buffer_bytes(&s->buffer);
  size_t rest = s->buffer.length - s->scanned;
  const char *newline = rest ? memchr(bytes + s->scanned, '\n', rest) : NULL;
  if (newline) {
    s->scanned = (size_t)(newline - bytes);
    return s->scanned + 1;
  }
  s->scanned = s->buffer.length;
  return s->ended || is_full(s) || (s->ring && s->buffer.length >= s->limit) ? s->buffer.length : 0;
}

/* Others may hold what is behind it, as a terminal of another user's: for them it is as it was. */
static void close_descriptor (fc_stream *s) {
  int flags = s->fd >= 0 && s->blocked && fc_reactor_is_ours(s->reactor) ? fcntl(s->fd, F_GETFL) : -1;
  if (flags >= 0)
    fcntl(s->fd, F_SETFL, flags & ~O_NONBLOCK);
  if (s->fd >= 0)
    close(s->fd);
  s->fd = -1;
}

void fc_stream_finish (fc_stream *s) {
  if (!s->ended)
    end_stream(s, 0);
  fc_reactor_unwatch(s->reactor, &s->source);
  close_descriptor(s);
  fc_wake_fire(s->reactor, &s->wake);
}

void fc_stream_close (fc_stream *s) {
  if (!s->reactor)
    return;
  fc_reactor_unwatch(s->reactor, &s->source);
  fc_wake_close(s->reactor, &s->wake);
  fc_wake_close(s->reactor, &s->room);
  close_descriptor(s);
  fc_buffer_free(&s->buffer);
  *s = (fc_stream){.fd = -1};
}
