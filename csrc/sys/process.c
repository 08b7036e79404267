/* process: see process.h. The child borrows the memory of the stopped parent until it execs (child.h): it makes plain
 * system calls and touches nothing else. */
#define _GNU_SOURCE
#include "process.h"

#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS = 64 };

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

typedef struct {
  const fc_process_spec *spec;
  struct rlimit no_file;
  const char *volatile step;   /* what the child was doing */
  volatile int error;          /* why it failed; 0 while it has not */
} child_plan;

/* The kernel's structure, as glibc refuses the two signals it keeps for itself. */
struct kernel_sigaction { void *handler; unsigned long flags; void *restorer; uint64_t mask; };

/* ---- in the child: system calls only ---- */

static void child_reset_signals (void) {
  for (long n = 1; n <= SIGNALS; n++) {
    struct kernel_sigaction action = {0};
    if (n == SIGKILL || n == SIGSTOP)
      continue;
    if (syscall(SYS_rt_sigaction, n, NULL, &action, sizeof action.mask) == 0 && action.handler != SIG_DFL) {
      action = (struct kernel_sigaction){.handler = (void *)SIG_DFL};
      syscall(SYS_rt_sigaction, n, &action, NULL, sizeof action.mask);
    }
  }
}

static int child_set_stdio (const int stdio[3]) {
  int from[3];
  for (int i = 0; i < 3; i++) {   /* out of the way of 0, 1, 2, or one would overwrite the next */
    from[i] = stdio[i];
    if (from[i] < 3 && from[i] != i && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3)) < 0)
      return -1;
  }
  for (int i = 0; i < 3; i++) {
    if (from[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(from[i], i) < 0)
      return -1;
  }
  return 0;
}

/* Those that are open, by name: a limit, which may be huge or have been lowered, says nothing of them. */
static int child_close_listed (void) {
  _Alignas(struct dirent64) char entries[4096];
  int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ssize_t n = -1;
  while (list >= 0 && (n = getdents64(list, entries, sizeof entries)) > 0) {
    for (ssize_t at = 0; at < n;) {
      const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
      int fd = 0;
      for (const char *digit = entry->d_name; *digit >= '0' && *digit <= '9'; digit++)
        fd = fd * 10 + (*digit - '0');
      if (fd >= 3)   /* "." and ".." are 0 */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
      at += entry->d_reclen;
    }
  }
  return (int)n;
}

static int child_close_others (void) {
  if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
    return 0;
  if (errno != ENOSYS && errno != EINVAL)   /* kernels before 5.11 */
    return -1;
  return child_close_listed();
}

static int child_main (void *argument) {
  child_plan *plan = argument;
  const fc_process_spec *spec = plan->spec;
  uint64_t no_signals = 0;

  plan->step = "setsid";
  if (setsid() < 0)
    goto failed;
  plan->step = "enter the network namespace for";
  if (spec->netns >= 0 && syscall(SYS_setns, spec->netns, CLONE_NEWNET) < 0)
    goto failed;
  plan->step = "set up standard streams";
  if (child_set_stdio(spec->stdio) < 0)
    goto failed;
  plan->step = "close_range";
  if (child_close_others() < 0)
    goto failed;
  plan->step = "set RLIMIT_NOFILE";
  if (spec->no_file > 0 && syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &plan->no_file, NULL) < 0)
    goto failed;
  plan->step = "change directory";
  if (spec->cwd && chdir(spec->cwd) < 0)
    goto failed;
  child_reset_signals();
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof no_signals);
  plan->step = "exec";
  execve(spec->path, spec->argv, spec->envp);
failed:
  plan->error = errno ? errno : EIO;
  _exit(127);
}

/* ---- in the parent ---- */

static int start_child (child_plan *plan, pid_t *pid, int *pidfd, fc_error *err) {
  if (fc_child_start(child_main, plan, CLONE_PIDFD | SIGCHLD, pid, pidfd, err) < 0)
    return -1;
  if (plan->error == 0)
    return 0;
  siginfo_t info;
  fc_child_wait(P_PIDFD, (id_t)*pidfd, &info);
  close(*pidfd);
  return fc_error_system(err, plan->error, "cannot %s %s", plan->step, plan->spec->path);
}

static void process_ready (fc_source *source, uint32_t events) {
  fc_process *p = (fc_process *)((char *)source - offsetof(fc_process, source));
  (void)events;
  fc_process_poll(p);
}

int fc_process_start (fc_process *p, fc_reactor *r, const fc_process_spec *spec, fc_error *err) {
  child_plan plan = {.spec = spec};
  if (fc_reactor_check_ours(r, err) < 0)
    return -1;
  if (spec->no_file > 0) {
    struct rlimit now;
    rlim_t wanted = (rlim_t)spec->no_file;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max < wanted)
      wanted = now.rlim_max;
    plan.no_file = (struct rlimit){wanted, wanted};
  }
  pid_t pid = -1;
  int pidfd = -1;
  if (start_child(&plan, &pid, &pidfd, err) < 0)
    return -1;
  *p = (fc_process){.reactor = r, .pid = pid, .pidfd = pidfd, .state = FC_PROCESS_ALIVE,
                    .kill_when_dropped = spec->kill_when_dropped};
  fc_wake_open(r, &p->wake);
  if (fc_reactor_watch(r, &p->source, pidfd, EPOLLIN, process_ready, err) < 0) {
    siginfo_t info;
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    fc_child_wait(P_PIDFD, (id_t)pidfd, &info);
    fc_process_close(p);
    return -1;
  }
  return 0;
}

int fc_process_adopt (fc_process *p, fc_reactor *r, pid_t pid, bool kill_when_dropped, fc_error *err) {
  if (fc_reactor_check_ours(r, err) < 0)
    return -1;
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0)
    return fc_error_system(err, errno, "cannot hold process %d", (int)pid);
  *p = (fc_process){.reactor = r, .pid = pid, .pidfd = pidfd, .state = FC_PROCESS_ALIVE,
                    .kill_when_dropped = kill_when_dropped, .foreign = true};
  fc_wake_open(r, &p->wake);
  if (fc_reactor_watch(r, &p->source, pidfd, EPOLLIN, process_ready, err) < 0) {
    fc_process_close(p);
    return -1;
  }
  return 0;
}

static void ended (fc_process *p, fc_process_state state, int status) {
  p->state = state;
  p->status = status;
  fc_reactor_unwatch(p->reactor, &p->source);
  close(p->pidfd);
  p->pidfd = -1;
  fc_wake_fire(p->reactor, &p->wake);
}

/* What the kernel's <linux/pidfd.h> has since 6.13: the status of a process, here one that has been reaped (6.15). */
struct pidfd_info { uint64_t mask, cgroupid; uint32_t ids[11]; int32_t exit_code; };
#define GET_PIDFD_INFO _IOWR(0xFF, 11, struct pidfd_info)
enum { PIDFD_EXIT = 1 << 3 };

/* Whether all of a process is shown to us; else its status is shown as 0. @see proc_pid_stat(5), ptrace(2) */
static bool is_shown (const fc_process *p) {
  char path[40], byte;
  snprintf(path, sizeof path, "/proc/%d/io", (int)p->pid);   /* is under the same check */
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool shown = fd >= 0 && read(fd, &byte, 1) == 1;
  if (fd >= 0)
    close(fd);
  return shown;
}

/* The status of one that nobody has reaped yet: the last number of its line. -1: it shows none to us. */
static int zombie_status (const fc_process *p) {
  char path[40], line[2048];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
  if (fd >= 0)
    close(fd);
  bool shown = n > 0 && is_shown(p);
  if (n <= 0 || syscall(SYS_pidfd_send_signal, p->pidfd, 0, NULL, 0) < 0)   /* reaped: the number may be another's */
    return -1;
  line[n] = '\0';
  const char *state = strrchr(line, ')'), *last = strrchr(line, ' ');
  int status = state && last && strncmp(state, ") Z", 3) == 0 ? (int)strtol(last, NULL, 10) : -1;
  return status == 0 && !shown ? -1 : status;
}

/* It has ended when its descriptor can be read, whoever reaps it and when. */
static void poll_foreign (fc_process *p) {
  struct pollfd ready = {.fd = p->pidfd, .events = POLLIN};
  struct pidfd_info info = {.mask = PIDFD_EXIT};
  if (poll(&ready, 1, 0) <= 0)
    return;
  int status = zombie_status(p);
  if (status < 0 && ioctl(p->pidfd, GET_PIDFD_INFO, &info) == 0 && info.mask & PIDFD_EXIT)
    status = info.exit_code;
  if (status < 0)
    ended(p, FC_PROCESS_UNKNOWN, 0);
  else
    ended(p, WIFEXITED(status) ? FC_PROCESS_EXITED : FC_PROCESS_SIGNALED,
          WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

fc_process_state fc_process_poll (fc_process *p) {
  if (p->state != FC_PROCESS_ALIVE || !fc_reactor_is_ours(p->reactor))
    return p->state;
  if (p->foreign) {
    poll_foreign(p);
    return p->state;
  }
  siginfo_t info = {0};
  int rc = waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG);
  if (rc == 0 && info.si_pid == 0)
    return p->state;
  if (rc < 0 && errno != ECHILD)
    return p->state;
  if (rc == 0)
    ended(p, info.si_code == CLD_EXITED ? FC_PROCESS_EXITED : FC_PROCESS_SIGNALED, info.si_status);
  else if (syscall(SYS_pidfd_send_signal, p->pidfd, 0, NULL, 0) < 0 && errno == ESRCH)
    ended(p, FC_PROCESS_UNKNOWN, 0);   /* reaped by the host program, or SIGCHLD is ignored: alive until the pidfd says not */
  return p->state;
}

int fc_process_signal (fc_process *p, int signal, fc_error *err) {
  if (p->pidfd < 0)
    return 0;
  if (fc_reactor_check_ours(p->reactor, err) < 0)
    return -1;
  if (syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
    return fc_error_system(err, errno, "cannot send signal %d to process %d", signal, (int)p->pid);
  return 0;
}

void fc_process_close (fc_process *p) {
  if (!p->reactor)
    return;
  fc_reactor_unwatch(p->reactor, &p->source);
  fc_wake_close(p->reactor, &p->wake);
  if (p->pidfd >= 0)
    close(p->pidfd);
  p->pidfd = -1;
  p->reactor = NULL;
}

void fc_process_drop (fc_process *p) {
  fc_error err;
  if (p->reactor && p->kill_when_dropped)
    fc_process_signal(p, SIGKILL, &err);
  fc_process_close(p);
}
