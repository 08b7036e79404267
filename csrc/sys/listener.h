/* listener: a stream socket at a path of the file system, and the connections that come to it.
 * What it refuses: paths that do not fit into a socket address, names that are taken. */
#ifndef FC_LISTENER_H
#define FC_LISTENER_H

#include "reactor.h"

#pragma GCC visibility push(hidden)

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  fc_wake wake;              /* fired when connections have come */
  int fd;
} fc_listener;

/* Bind and listen; the name is the caller's to unlink. @see unix(7) */
int fc_listener_open (fc_listener *l, fc_reactor *r, const char *path, fc_error *err);
void fc_listener_close (fc_listener *l);
/* The next connection, close-on-exec; *fd is -1 when none has come yet. @see accept4(2) */
int fc_listener_accept (fc_listener *l, int *fd, fc_error *err);

#pragma GCC visibility pop
#endif
