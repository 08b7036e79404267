/* netns: network namespaces, as ip-netns(8) keeps them: a name is a file under /run/netns with the namespace mounted on
 * it. The calling thread never changes its namespace: a child that shares its descriptors does (child.h).
 * @see namespaces(7), ip-netns(8) */
#ifndef FC_NETNS_H
#define FC_NETNS_H

#include "buffer.h"
#include "error.h"

#pragma GCC visibility push(hidden)

/* Make a namespace; *fd keeps it. With a name it stays until it is deleted (EEXIST: the name is taken); without, until
 * the last descriptor and the last process in it are gone. */
int fc_netns_create (const char *name, int *fd, fc_error *err);
/* Open one by its name, or by a path (with a slash) such as /proc/PID/ns/net. */
int fc_netns_open (const char *name, int *fd, fc_error *err);
/* Take a name away; ENOENT: no such name. */
int fc_netns_delete (const char *name, fc_error *err);
/* The names, each with a NUL behind it. */
int fc_netns_list (fc_buffer *names, fc_error *err);

/* A socket, or an open file, of the namespace of descriptor `netns` (-1: the caller's). */
int fc_netns_socket (int netns, int domain, int type, int protocol, int *fd, fc_error *err);
int fc_netns_open_file (int netns, const char *path, int flags, int *fd, fc_error *err);

#pragma GCC visibility pop
#endif
