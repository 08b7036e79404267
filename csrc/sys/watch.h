/* watch: know when a name appears in a directory. One inotify descriptor serves all watches of a
 * reactor (a user may have only 128 of them). @see inotify(7) */
#ifndef FC_WATCH_H
#define FC_WATCH_H

#include "reactor.h"

#pragma GCC visibility push(hidden)

typedef struct fc_watch fc_watch;

typedef struct {
  fc_reactor *reactor;
  fc_source source;
  int fd;
  fc_watch *first;
} fc_watcher;

struct fc_watch {
  fc_watcher *watcher;       /* NULL: closed */
  fc_watch *next;
  fc_wake wake;              /* fired when the name has appeared */
  int descriptor;
  bool appeared;
  char name[256];
};

int fc_watcher_open (fc_watcher *w, fc_reactor *r, fc_error *err);
void fc_watcher_close (fc_watcher *w);

/* Watch `directory` for `name`; a name that is there already has appeared. */
int fc_watch_open (fc_watch *watch, fc_watcher *w, const char *directory, const char *name, fc_error *err);
void fc_watch_close (fc_watch *watch);

#pragma GCC visibility pop
#endif
