/* signals: receive chosen signals through the reactor. Opt-in: they are blocked for the thread while
 * this is open, and what was blocked before is put back at the end. @see signalfd(2) */
#ifndef FC_SIGNALS_H
#define FC_SIGNALS_H

#include "reactor.h"

#include <signal.h>

#pragma GCC visibility push(hidden)

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  fc_wake wake;              /* fired when a signal has come */
  int fd;
  sigset_t added;            /* blocked by us, not before */
  sigset_t come;             /* received, not taken yet */
} fc_signals;

int fc_signals_open (fc_signals *s, fc_reactor *r, const sigset_t *set, fc_error *err);
/* The lowest number of those that have come, once each; 0 when none is there. */
int fc_signals_next (fc_signals *s);
void fc_signals_close (fc_signals *s);

#pragma GCC visibility pop
#endif
