/* terminal: a terminal of the user's in raw mode, and back as it was. @see termios(3) */
#ifndef FC_TERMINAL_H
#define FC_TERMINAL_H

#include "error.h"

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#pragma GCC visibility push(hidden)

typedef struct {
  int fd;                    /* a duplicate of its own; -1: closed */
  pid_t pid;                 /* who changed it: a forked child leaves it alone */
  struct termios before;
} fc_terminal;

/* Give each key as it is, without echo and without signals; what is written still begins its lines at the left. ENOTTY for
 * what is no terminal, EPERM in a job in the background: changing it, or reading from it, would stop the process. */
int fc_terminal_raw (fc_terminal *t, int fd, fc_error *err);
/* Put it back; idempotent. Left alone by who is in the background now: it is another's. */
void fc_terminal_restore (fc_terminal *t);
/* Whether a descriptor is a terminal. @see isatty(3) */
bool fc_terminal_is (int fd);

#pragma GCC visibility pop
#endif
