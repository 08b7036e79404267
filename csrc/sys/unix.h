/* unix: addresses of Unix sockets, also those whose path is longer than a socket address holds. @see unix(7) */
#ifndef FC_UNIX_H
#define FC_UNIX_H

#include "error.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#pragma GCC visibility push(hidden)

/* The address of a path to connect to. One too long is named by a descriptor of its directory, which is opened into
 * *held_fd (else -1) and closed by the caller once he has connected. 0, or -1 with errno set.
 * What stands behind "//" is somebody else's, as in a jail: it leads neither out of the directory before it nor through a
 * symbolic link, and what is there must be a socket; it is named by a descriptor of its own. */
int fc_unix_address (const char *path, struct sockaddr_un *address, int *held_fd);

/* The directory of a path, a descriptor that only names it (O_PATH), and the path's last part. Behind "//" it is found as
 * above. -1 with errno set. */
int fc_unix_directory (const char *path, const char **name);

/* The address to bind to at a path whose directory is open. 0, or -1 with errno set. */
int fc_unix_address_in (int directory, const char *path, const char *name, struct sockaddr_un *address);

/* Connect without waiting: EAGAIN when the listener's queue is full. *fd is non-blocking and close-on-exec. */
int fc_unix_connect (const char *path, int *fd, fc_error *err);

/* Whether somebody listens at a path: connects and hangs up. A path that is there and refuses is no error. *pid, unless
 * NULL, is the listener's process; 0 when that cannot be told: its queue is full, or its process namespace is not seen. */
int fc_unix_listens (const char *path, bool *listens, pid_t *pid, fc_error *err);

#pragma GCC visibility pop
#endif
