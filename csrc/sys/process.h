/* process: start a program and know when and how it ended. The child inherits nothing but what the
 * specification names: descriptors, signal dispositions and mask, session and limits are set anew.
 * It knows no Firecracker. @see clone(2), pidfd_open(2), waitid(2) */
#ifndef FC_PROCESS_H
#define FC_PROCESS_H

#include "error.h"
#include "reactor.h"

#include <stdbool.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

typedef struct {
  const char *path;          /* the program, found by the caller: PATH is not searched */
  char *const *argv;
  char *const *envp;
  const char *cwd;           /* NULL: stays where the caller is */
  int netns;                 /* descriptor of the network namespace it lives in; -1: the caller's */
  int stdio[3];              /* descriptors of the caller that become 0, 1, 2 */
  long no_file;              /* RLIMIT_NOFILE, soft and hard; 0: inherited */
  bool kill_when_dropped;    /* fc_process_drop ends it */
} fc_process_spec;

typedef enum { FC_PROCESS_NONE, FC_PROCESS_ALIVE, FC_PROCESS_EXITED, FC_PROCESS_SIGNALED,
               FC_PROCESS_UNKNOWN } fc_process_state;

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  fc_wake wake;              /* fired when the process has ended */
  pid_t pid;
  int pidfd;
  fc_process_state state;
  int status;                /* exit status or signal number */
  bool kill_when_dropped;
  bool foreign;              /* not our child: who reaps it gets its status */
} fc_process;

/* Start it. On failure nothing runs and err says which step failed. */
int fc_process_start (fc_process *p, fc_reactor *r, const fc_process_spec *spec, fc_error *err);
/* Hold a process that is not our child. Its exit status shows until it is reaped; from Linux 6.15 on, afterwards too. */
int fc_process_adopt (fc_process *p, fc_reactor *r, pid_t pid, bool kill_when_dropped, fc_error *err);
/* Look whether it has ended and reap it if so; FC_PROCESS_UNKNOWN when somebody else reaped it. */
fc_process_state fc_process_poll (fc_process *p);
/* Send a signal; an ended process is no error, one of the process that forked this one is. @see pidfd_send_signal(2) */
int fc_process_signal (fc_process *p, int signal, fc_error *err);
/* Give up the handle. The process goes on; idempotent. */
void fc_process_close (fc_process *p);
/* Give up the handle without anybody having asked for it: the process is killed first if it was started so. */
void fc_process_drop (fc_process *p);

#pragma GCC visibility pop
#endif
