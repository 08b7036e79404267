/* child: see child.h. A large heap costs nothing, and a failure comes back in memory. */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024, GUARD_SIZE = 4096 };

int fc_child_start (int (*fn) (void *), void *argument, int flags, pid_t *pid, int *pidfd, fc_error *err) {
  uint64_t all = ~UINT64_C(0), before;
  char *stack = mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED)
    return fc_error_system(err, errno, "cannot map a stack");
  mprotect(stack, GUARD_SIZE, PROT_NONE);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  int id = clone(fn, stack + STACK_SIZE + GUARD_SIZE, CLONE_VM | CLONE_VFORK | flags, argument, pidfd);
  int error = errno;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  munmap(stack, STACK_SIZE + GUARD_SIZE);
  if (id < 0)
    return fc_error_system(err, error, "cannot make a process%s",
                           error == EAGAIN ? " (pids.max of its cgroup, RLIMIT_NPROC, kernel.threads-max)" : "");
  *pid = id;
  return 0;
}

int fc_child_run (int (*fn) (void *), void *argument, fc_error *err) {
  pid_t pid = -1;
  if (fc_child_start(fn, argument, CLONE_FILES, &pid, NULL, err) < 0)
    return -1;
  siginfo_t info;
  fc_child_wait(P_PID, (id_t)pid, &info);
  return 0;
}

int fc_child_wait (idtype_t type, id_t id, siginfo_t *info) {
  int rc;
  do
    rc = waitid(type, id, info, WEXITED | __WALL);
  while (rc < 0 && errno == EINTR);
  return rc;
}
