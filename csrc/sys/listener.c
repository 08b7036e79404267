/* listener: see listener.h. @see unix(7), accept4(2) */
#define _GNU_SOURCE   /* accept4, O_PATH */
#include "listener.h"
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* Where a listener's name is. The directory is found once: who may write to one above it can put another in its place. */
typedef struct {
  const fc_listener_spec *spec;
  int directory;
  const char *name;
} place;

/* A descriptor that only names what has the name. */
static int open_name (const place *at) {
  return openat(at->directory, at->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Give the name to another user. It is opened first and looked at: where others may write to the directory, a link to
 * another file of ours may have taken its place. */
static int give (const place *at) {
  struct stat st;
  int fd = open_name(at), error = 0;
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) < 0 || (errno = EPERM, !S_ISSOCK(st.st_mode) || st.st_nlink != 1) ||
      fchownat(fd, "", at->spec->uid, at->spec->gid, AT_EMPTY_PATH) < 0)
    error = errno;
  close(fd);
  errno = error;
  return error ? -1 : 0;
}

/* Whether the name is a socket that nobody listens at. -1 with errno when that cannot be told. */
static int is_stale (const place *at) {
  struct stat st;
  char path[40];
  bool listens = true;
  fc_error err;
  int fd = open_name(at);
  if (fd < 0)
    return errno == ENOENT ? 1 : -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int rc = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? fc_unix_listens(path, &listens, NULL, &err) : 0;
  close(fd);
  errno = rc < 0 ? err.errnum : 0;
  return rc < 0 ? -1 : !listens;
}

/* Remove a socket that nobody listens at; anything else is EADDRINUSE. The caller holds the directory's lock. */
static int remove_stale (const place *at, fc_error *err) {
  int stale = is_stale(at);
  if (stale <= 0)
    return fc_error_system(err, stale < 0 ? errno : EADDRINUSE, "cannot listen at %s", at->spec->path);
  if (unlinkat(at->directory, at->name, 0) < 0 && errno != ENOENT)
    return fc_error_system(err, errno, "cannot remove %s", at->spec->path);
  return 0;
}

/* Only one process at a time looks and replaces: the socket that it has not begun to listen at yet is not stale. */
static int lock_directory (const place *at) {
  int fd = openat(at->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

static int bind_and_listen (fc_listener *l, const place *at, fc_error *err) {
  const fc_listener_spec *spec = at->spec;
  struct sockaddr_un address;
  int error = 0;
  l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (l->fd < 0 || fc_unix_address_in(at->directory, spec->path, at->name, &address) < 0)
    return fc_error_system(err, errno, "cannot listen at %s", spec->path);
  /* the mode that bind gives the name: none of its own is ever there */
  if ((spec->mode && fchmod(l->fd, spec->mode) < 0) ||
      bind(l->fd, (const struct sockaddr *)&address, sizeof address) < 0)
    error = errno;
  else if (((spec->uid != (uid_t)-1 || spec->gid != (gid_t)-1) && give(at) < 0) || listen(l->fd, BACKLOG) < 0) {
    error = errno;
    unlinkat(at->directory, at->name, 0);
  }
  return error ? fc_error_system(err, error, "cannot listen at %s", spec->path) : 0;
}

static int take_place (fc_listener *l, const place *at, fc_error *err) {
  int lock = lock_directory(at);
  if (lock < 0)
    return fc_error_system(err, errno, "cannot lock the directory of %s", at->spec->path);
  close(l->fd);
  l->fd = -1;
  int rc = remove_stale(at, err) < 0 ? -1 : bind_and_listen(l, at, err);
  close(lock);
  return rc;
}

static int open_at (fc_listener *l, const place *at, fc_error *err) {
  int rc = bind_and_listen(l, at, err);
  if (rc < 0 && at->spec->replace_stale && err->errnum == EADDRINUSE)
    rc = take_place(l, at, err);
  if (rc == 0 && fc_reactor_watch(l->reactor, &l->source, l->fd, EPOLLIN, listener_ready, err) < 0) {
    unlinkat(at->directory, at->name, 0);
    rc = -1;
  }
  return rc;
}

int fc_listener_open (fc_listener *l, fc_reactor *r, const fc_listener_spec *spec, fc_error *err) {
  place at = {.spec = spec};
  at.directory = fc_unix_directory(spec->path, &at.name);
  if (at.directory < 0)
    return fc_error_system(err, errno, "cannot listen at %s", spec->path);
  *l = (fc_listener){.reactor = r, .fd = -1};
  fc_wake_open(r, &l->wake);
  int rc = open_at(l, &at, err);
  close(at.directory);
  if (rc < 0)
    fc_listener_close(l);
  return rc;
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
