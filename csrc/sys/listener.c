/* listener: see listener.h. @see unix(7), accept4(2) */
#define _GNU_SOURCE   /* accept4 */
#include "listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64 };

/* Nobody may accept for a while: the reactor is not to tell of it again until somebody has. */
static void listener_ready (fc_source *source, uint32_t events) {
  (void)events;
  fc_listener *l = (fc_listener *)((char *)source - offsetof(fc_listener, source));
  fc_error err;
  fc_reactor_change(l->reactor, source, 0, &err);
  fc_wake_fire(l->reactor, &l->wake);
}

int fc_listener_open (fc_listener *l, fc_reactor *r, const char *path, fc_error *err) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path)
    return fc_error_system(err, ENAMETOOLONG, "cannot listen at %s", path);
  memcpy(address.sun_path, path, strlen(path) + 1);
  *l = (fc_listener){.reactor = r, .fd = -1};
  fc_wake_open(r, &l->wake);
  l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(l->fd, BACKLOG) < 0) {
    fc_error_system(err, errno, "cannot listen at %s", path);
    fc_listener_close(l);
    return -1;
  }
  if (fc_reactor_watch(r, &l->source, l->fd, EPOLLIN, listener_ready, err) < 0) {
    fc_listener_close(l);
    return -1;
  }
  return 0;
}

int fc_listener_accept (fc_listener *l, int *fd, fc_error *err) {
  *fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (*fd >= 0)
    return 0;
  if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
    return fc_error_system(err, errno, "cannot accept");
  return l->source.events ? 0 : fc_reactor_change(l->reactor, &l->source, EPOLLIN, err);
}

void fc_listener_close (fc_listener *l) {
  if (!l->reactor)
    return;
  fc_reactor_unwatch(l->reactor, &l->source);
  fc_wake_close(l->reactor, &l->wake);
  if (l->fd >= 0)
    close(l->fd);
  *l = (fc_listener){.fd = -1};
}
