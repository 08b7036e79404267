/* terminal: see terminal.h. @see tcsetattr(3), tcgetpgrp(3) */
#define _GNU_SOURCE
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Whether the terminal's signals would stop us. One that is not our controlling terminal sends none. */
static int in_background (int fd) {
  pid_t group = tcgetpgrp(fd);
  return group >= 0 && group != getpgrp();
}

int fc_terminal_raw (fc_terminal *t, int fd, fc_error *err) {
  struct termios mode;
  *t = (fc_terminal){.fd = -1, .pid = getpid()};
  if (tcgetattr(fd, &t->before) < 0)
    return fc_error_system(err, errno, "descriptor %d", fd);
  if (in_background(fd))
    return fc_error_set(err, "system", EPERM, "the terminal belongs to another job");
  mode = t->before;
  cfmakeraw(&mode);
  mode.c_oflag = t->before.c_oflag;
  t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (t->fd < 0)
    return fc_error_system(err, errno, "descriptor %d", fd);
  if (tcsetattr(t->fd, TCSADRAIN, &mode) == 0)
    return 0;
  int error = errno;
  close(t->fd);
  t->fd = -1;
  return fc_error_system(err, error, "cannot set the terminal's mode");
}

void fc_terminal_restore (fc_terminal *t) {
  if (t->fd < 0)
    return;
  if (t->pid == getpid() && !in_background(t->fd))
    tcsetattr(t->fd, TCSANOW, &t->before);
  close(t->fd);
  t->fd = -1;
}

bool fc_terminal_is (int fd) {
  return isatty(fd);
}
