/* vsock: the host's side of Firecracker's hybrid vsock: one request line to the VMM's Unix socket, one reply line, and
 * then the guest's bytes. Waiting and trying again are not done here. */
#ifndef FC_VSOCK_H
#define FC_VSOCK_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* Connect to the VMM's socket and ask for a port of the guest's; *fd is non-blocking and close-on-exec. */
int fc_vsock_dial (const char *path, uint32_t port, int *fd, fc_error *err);

/* The reply "OK PORT\n" at the beginning of what came: its length; 0 when it is not whole yet; -1 when that is
 * something else. What follows it is the guest's. */
ssize_t fc_vsock_reply (const char *bytes, size_t n);

#pragma GCC visibility pop
#endif
