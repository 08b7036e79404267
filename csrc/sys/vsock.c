/* vsock: see vsock.h. @see send(2) */
#include "vsock.h"
#include "unix.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int fc_vsock_dial (const char *path, uint32_t port, int *fd, fc_error *err) {
  char line[24];
  int n = snprintf(line, sizeof line, "CONNECT %u\n", (unsigned)port);
  if (fc_unix_connect(path, fd, err) < 0)
    return -1;
  ssize_t sent = send(*fd, line, (size_t)n, MSG_NOSIGNAL);   /* whole: the VMM drops who sends it in pieces */
  if (sent == n)
    return 0;
  int error = sent < 0 ? errno : EAGAIN;
  close(*fd);
  *fd = -1;
  return fc_error_system(err, error, "cannot send to %s", path);
}

ssize_t fc_vsock_reply (const char *bytes, size_t n) {
  uint64_t port = 0;
  for (size_t i = 0; i < n; i++) {
    char c = bytes[i];
    if (i < 3) {
      if (c != "OK "[i])
        return -1;
    } else if (c == '\n') {
      return i > 3 ? (ssize_t)i + 1 : -1;
    } else if (c < '0' || c > '9' || (port = port * 10 + (uint64_t)(c - '0')) > UINT32_MAX || i > 12) {
      return -1;
    }
  }
  return 0;
}
