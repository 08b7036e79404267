/* unix: see unix.h. @see unix(7), SO_PEERCRED */
#define _GNU_SOURCE
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int beneath (int root, const char *path, int flags) {
  struct open_how how = {.flags = (uint64_t)(flags | O_PATH | O_CLOEXEC),
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The directory that the first n bytes of a path name. */
static int open_part (const char *path, size_t n) {
  char part[PATH_MAX];
  if (n >= sizeof part) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(part, path, n);
  part[n] = '\0';
  return open(part, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The "//" behind which a path is somebody else's; NULL: nowhere. */
static const char *border_of (const char *path) {
  const char *border = strstr(path, "//");
  return border && border > path ? border : NULL;
}

/* close(2) that leaves errno as it is. */
static void drop (int fd) {
  int error = errno;
  close(fd);
  errno = error;
}

int fc_unix_directory (const char *path, const char **name) {
  char part[PATH_MAX];
  const char *border = border_of(path), *inside = border ? border + 2 : path, *slash = strrchr(inside, '/');
  *name = slash ? slash + 1 : inside;
  if (!border)
    return slash ? open_part(path, (size_t)(slash - path) + (slash == path)) : open_part(".", 1);
  int root = open_part(path, (size_t)(border - path));
  if (root < 0 || !slash)
    return root;
  int fd = -1;
  errno = ENAMETOOLONG;
  if ((size_t)(slash - inside) < sizeof part) {
    memcpy(part, inside, (size_t)(slash - inside));
    part[slash - inside] = '\0';
    fd = beneath(root, part, O_DIRECTORY);
  }
  drop(root);
  return fd;
}

int fc_unix_address_in (int directory, const char *path, const char *name, struct sockaddr_un *address) {
  size_t length = strlen(path);
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (!border_of(path) && length < sizeof address->sun_path) {
    memcpy(address->sun_path, path, length);
    return 0;
  }
  int n = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", directory, name);
  errno = ENAMETOOLONG;
  return n < (int)sizeof address->sun_path ? 0 : -1;
}

/* The address by a descriptor of the socket alone. */
static int address_beneath (const char *path, const char *border, struct sockaddr_un *address, int *held_fd) {
  struct stat st;
  int root = open_part(path, (size_t)(border - path));
  if (root < 0)
    return -1;
  int fd = beneath(root, border + 2, O_NOFOLLOW);
  drop(root);
  if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))) {
    close(fd);
    errno = ENOTSOCK;
    return -1;
  }
  if (fd < 0)
    return -1;
  snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d", fd);
  *held_fd = fd;
  return 0;
}

int fc_unix_address (const char *path, struct sockaddr_un *address, int *held_fd) {
  const char *border = border_of(path), *name;
  size_t length = strlen(path);
  *held_fd = -1;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (border)
    return address_beneath(path, border, address, held_fd);
  if (length < sizeof address->sun_path) {
    memcpy(address->sun_path, path, length);
    return 0;
  }
  int directory = fc_unix_directory(path, &name);
  if (directory < 0)
    return -1;
  if (fc_unix_address_in(directory, path, name, address) < 0) {
    drop(directory);
    return -1;
  }
  *held_fd = directory;
  return 0;
}

int fc_unix_connect (const char *path, int *fd, fc_error *err) {
  struct sockaddr_un address;
  int held_fd, error = 0;
  int n = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (n < 0)
    return fc_error_system(err, errno, "cannot make a socket");
  if (fc_unix_address(path, &address, &held_fd) < 0 ||
      connect(n, (const struct sockaddr *)&address, sizeof address) < 0)
    error = errno;
  if (held_fd >= 0)
    close(held_fd);
  if (error == 0) {
    *fd = n;
    return 0;
  }
  close(n);
  return fc_error_system(err, error, "cannot connect to %s", path);
}

int fc_unix_listens (const char *path, bool *listens, pid_t *pid, fc_error *err) {
  int fd = -1;
  *listens = fc_unix_connect(path, &fd, err) == 0;
  struct ucred peer = {0};   /* who called listen(2) */
  socklen_t size = sizeof peer;
  if (*listens) {
    if (pid && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
      peer.pid = 0;
    close(fd);
  } else if (err->errnum == EAGAIN) {   /* it listens, and its queue is full */
    *listens = true;
  } else if (err->errnum != ECONNREFUSED) {
    return -1;
  }
  if (pid)
    *pid = peer.pid;
  return 0;
}
