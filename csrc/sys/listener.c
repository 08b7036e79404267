/* listener: see listener.h. @see unix(7), accept4(2) */
#define _GNU_SOURCE   /* accept4, O_PATH */
#include "listener.h"
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
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

/* Give the name to another user. It is opened first and looked at: where others may write to the directory, a link to
 * another file of ours may have taken its place. */
static int give (const char *path, uid_t uid, gid_t gid) {
  struct stat st;
  int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), error = 0;
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) < 0 || (errno = EPERM, !S_ISSOCK(st.st_mode) || st.st_nlink != 1) ||
      fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
    error = errno;
  close(fd);
  errno = error;
  return error ? -1 : 0;
}

/* Remove a socket that nobody listens at; anything else is EADDRINUSE. The caller holds the directory's lock. */
static int remove_stale (const char *path, fc_error *err) {
  struct stat st;
  bool listens = true;
  if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && fc_unix_listens(path, &listens, err) < 0 && err->errnum != ENOENT)
    return -1;
  if (listens)
    return fc_error_system(err, EADDRINUSE, "cannot listen at %s", path);
  if (unlink(path) < 0 && errno != ENOENT)
    return fc_error_system(err, errno, "cannot remove %s", path);
  return 0;
}

/* Only one process at a time looks and replaces: the socket that it has not begun to listen at yet is not stale. */
static int lock_directory (const char *path) {
  char directory[PATH_MAX] = ".";
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
  if (n >= sizeof directory) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (slash) {
    memcpy(directory, path, n);
    directory[n] = '\0';
  }
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

static int bind_and_listen (fc_listener *l, const fc_listener_spec *spec, fc_error *err) {
  struct sockaddr_un address;
  int directory_fd, error = 0;
  l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (l->fd < 0 || fc_unix_address(spec->path, &address, &directory_fd) < 0)
    return fc_error_system(err, errno, "cannot listen at %s", spec->path);
  /* the mode that bind gives the name: none of its own is ever there */
  if ((spec->mode && fchmod(l->fd, spec->mode) < 0) ||
      bind(l->fd, (const struct sockaddr *)&address, sizeof address) < 0)
    error = errno;
  else if (((spec->uid != (uid_t)-1 || spec->gid != (gid_t)-1) && give(address.sun_path, spec->uid, spec->gid) < 0) ||
           listen(l->fd, BACKLOG) < 0) {
    error = errno;
    unlink(address.sun_path);
  }
  if (directory_fd >= 0)
    close(directory_fd);
  return error ? fc_error_system(err, error, "cannot listen at %s", spec->path) : 0;
}

static int take_place (fc_listener *l, const fc_listener_spec *spec, fc_error *err) {
  int lock = lock_directory(spec->path);
  if (lock < 0)
    return fc_error_system(err, errno, "cannot lock the directory of %s", spec->path);
  close(l->fd);
  l->fd = -1;
  int rc = remove_stale(spec->path, err) < 0 ? -1 : bind_and_listen(l, spec, err);
  close(lock);
  return rc;
}

int fc_listener_open (fc_listener *l, fc_reactor *r, const fc_listener_spec *spec, fc_error *err) {
  *l = (fc_listener){.reactor = r, .fd = -1};
  fc_wake_open(r, &l->wake);
  int rc = bind_and_listen(l, spec, err);
  if (rc < 0 && spec->replace_stale && err->errnum == EADDRINUSE)
    rc = take_place(l, spec, err);
  if (rc < 0) {
    fc_listener_close(l);
    return -1;
  }
  if (fc_reactor_watch(r, &l->source, l->fd, EPOLLIN, listener_ready, err) < 0) {
    unlink(spec->path);
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
