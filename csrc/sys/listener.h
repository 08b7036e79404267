/* listener: a stream socket at a path of the file system, and the connections that come to it.
 * What it refuses: names that are taken, but for a socket that nobody listens at any more, when told so. */
#ifndef FC_LISTENER_H
#define FC_LISTENER_H

#include "reactor.h"

#include <sys/types.h>

#pragma GCC visibility push(hidden)

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  fc_wake wake;              /* fired when connections have come */
  int fd;
} fc_listener;

typedef struct {
  const char *path;          /* may be longer than a socket address holds; no link is followed behind its "//", see unix.h */
  mode_t mode;               /* of the name, less the umask; 0: what the umask leaves */
  uid_t uid;                 /* its owner; -1: ours */
  gid_t gid;
  bool replace_stale;        /* take the place of a socket that nobody listens at */
} fc_listener_spec;

/* Bind and listen; the name is the caller's to unlink. @see unix(7) */
int fc_listener_open (fc_listener *l, fc_reactor *r, const fc_listener_spec *spec, fc_error *err);
void fc_listener_close (fc_listener *l);
/* The next connection, close-on-exec; *fd is -1 when none has come yet. @see accept4(2) */
int fc_listener_accept (fc_listener *l, int *fd, fc_error *err);

#pragma GCC visibility pop
#endif
