/* unix: see unix.h. */
#define _GNU_SOURCE
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int fc_unix_address (const char *path, struct sockaddr_un *address, int *directory_fd) {
  size_t length = strlen(path);
  *directory_fd = -1;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (length < sizeof address->sun_path) {
    memcpy(address->sun_path, path, length);
    return 0;
  }
  char directory[PATH_MAX];
  const char *slash = strrchr(path, '/');
  if (!slash || length >= sizeof directory) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(directory, path, (size_t)(slash - path));
  directory[slash - path] = '\0';
  int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  int n = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", fd, slash + 1);
  if (n >= (int)sizeof address->sun_path) {
    close(fd);
    errno = ENAMETOOLONG;
    return -1;
  }
  *directory_fd = fd;
  return 0;
}

int fc_unix_connect (const char *path, int *fd, fc_error *err) {
  struct sockaddr_un address;
  int directory_fd, error = 0;
  int n = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (n < 0)
    return fc_error_system(err, errno, "cannot make a socket");
  if (fc_unix_address(path, &address, &directory_fd) < 0 ||
      connect(n, (const struct sockaddr *)&address, sizeof address) < 0)
    error = errno;
  if (directory_fd >= 0)
    close(directory_fd);
  if (error == 0) {
    *fd = n;
    return 0;
  }
  close(n);
  return fc_error_system(err, error, "cannot connect to %s", path);
}

int fc_unix_listens (const char *path, bool *listens, fc_error *err) {
  int fd = -1;
  *listens = fc_unix_connect(path, &fd, err) == 0;
  if (*listens)
    close(fd);
  else if (err->errnum == EAGAIN)   /* it listens, and its queue is full */
    *listens = true;
  else if (err->errnum != ECONNREFUSED)
    return -1;
  return 0;
}
