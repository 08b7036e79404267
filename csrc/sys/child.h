/* child: run a function in a child that borrows the caller's memory, while the caller waits. The child makes plain
 * system calls only: no allocation, no stdio, no Lua. @see clone(2) */
#ifndef FC_CHILD_H
#define FC_CHILD_H

#include "error.h"

#include <sys/types.h>
#include <sys/wait.h>

#pragma GCC visibility push(hidden)

/* Run fn(argument) with CLONE_VM|CLONE_VFORK and `flags` on a stack of its own, signals blocked, until it execs or
 * exits. *pidfd is set when flags hold CLONE_PIDFD. */
int fc_child_start (int (*fn) (void *), void *argument, int flags, pid_t *pid, int *pidfd, fc_error *err);

/* Run fn(argument) to its end, with the caller's descriptors: what it opens the caller has. It has no signal at its
 * end, so that the host's SIGCHLD and its wait(2) do not see it. */
int fc_child_run (int (*fn) (void *), void *argument, fc_error *err);

/* Take the status of a child that has ended or is about to, however many signals interrupt that: none stays a zombie for
 * them. As waitid(2). */
int fc_child_wait (idtype_t type, id_t id, siginfo_t *info);

#pragma GCC visibility pop
#endif
