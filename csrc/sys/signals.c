/* signals: see signals.h. */
#include "signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Empty the descriptor: one that stays readable would end every wait of the reactor at once. */
static void receive (fc_signals *s) {
  struct signalfd_siginfo info;
  while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info)
    sigaddset(&s->come, (int)info.ssi_signo);
}

static void signals_ready (fc_source *source, uint32_t events) {
  fc_signals *s = (fc_signals *)((char *)source - offsetof(fc_signals, source));
  (void)events;
  receive(s);
  fc_wake_fire(s->reactor, &s->wake);
}

int fc_signals_open (fc_signals *s, fc_reactor *r, const sigset_t *set, fc_error *err) {
  *s = (fc_signals){.fd = -1};
  sigemptyset(&s->come);
  int fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0)
    return fc_error_system(err, errno, "signalfd");
  if (fc_reactor_watch(r, &s->source, fd, EPOLLIN, signals_ready, err) < 0) {
    close(fd);
    return -1;
  }
  s->reactor = r;
  s->fd = fd;
  fc_wake_open(r, &s->wake);

  sigset_t before;
  pthread_sigmask(SIG_BLOCK, set, &before);
  sigemptyset(&s->added);
  for (int n = 1; n < NSIG; n++)
    if (sigismember(set, n) == 1 && sigismember(&before, n) == 0)
      sigaddset(&s->added, n);
  return 0;
}

int fc_signals_next (fc_signals *s) {
  if (s->fd >= 0)
    receive(s);
  for (int n = 1; n < NSIG; n++)
    if (sigismember(&s->come, n) == 1) {
      sigdelset(&s->come, n);
      return n;
    }
  return 0;
}

void fc_signals_close (fc_signals *s) {
  if (s->fd < 0 || !s->reactor)
    return;
  fc_reactor_unwatch(s->reactor, &s->source);
  fc_wake_close(s->reactor, &s->wake);
  close(s->fd);
  s->fd = -1;
  s->reactor = NULL;
  pthread_sigmask(SIG_UNBLOCK, &s->added, NULL);
}
