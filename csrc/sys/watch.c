/* watch: see watch.h. */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static void appeared (fc_watch *watch) {
  watch->appeared = true;
  fc_wake_fire(watch->watcher->reactor, &watch->wake);
}

static void watcher_ready (fc_source *source, uint32_t events) {
  fc_watcher *w = (fc_watcher *)((char *)source - offsetof(fc_watcher, source));
  char buffer[4096] __attribute__ ((aligned(__alignof__(struct inotify_event))));
  (void)events;
  ssize_t n;
  do {
    n = read(w->fd, buffer, sizeof buffer);
    const struct inotify_event *e;
    for (char *at = buffer; at < buffer + n; at += sizeof *e + e->len) {
      e = (const struct inotify_event *)(void *)at;
      for (fc_watch *watch = w->first; watch; watch = watch->next) {
        bool overflow = e->mask & IN_Q_OVERFLOW;   /* events were lost: let everybody look again */
        if (overflow || (watch->descriptor == e->wd && e->len > 0 && strcmp(watch->name, e->name) == 0))
          appeared(watch);
      }
    }
  } while (n > (ssize_t)sizeof buffer / 2);   /* a short one was the last */
}

int fc_watcher_open (fc_watcher *w, fc_reactor *r, fc_error *err) {
  *w = (fc_watcher){.fd = -1};
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0)
    return fc_error_system(err, errno, "cannot make an inotify instance (fs.inotify.max_user_instances)");
  if (fc_reactor_watch(r, &w->source, fd, EPOLLIN, watcher_ready, err) < 0) {
    close(fd);
    return -1;
  }
  w->reactor = r;
  w->fd = fd;
  return 0;
}

void fc_watcher_close (fc_watcher *w) {
  if (w->fd < 0)
    return;
  fc_reactor_unwatch(w->reactor, &w->source);
  close(w->fd);
  w->fd = -1;
  while (w->first) {
    fc_watch *watch = w->first;
    w->first = watch->next;
    fc_wake_close(w->reactor, &watch->wake);
    watch->watcher = NULL;
  }
}

int fc_watch_open (fc_watch *watch, fc_watcher *w, const char *directory, const char *name, fc_error *err) {
  if (fc_reactor_check_ours(w->reactor, err) < 0)
    return -1;
  if (strlen(name) >= sizeof watch->name)
    return fc_error_set(err, "system", ENAMETOOLONG, "cannot watch for %s: the name is too long", name);
  int descriptor = inotify_add_watch(w->fd, directory, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  if (descriptor < 0)
    return fc_error_system(err, errno, "cannot watch directory %s%s", directory,
                           errno == ENOSPC ? " (fs.inotify.max_user_watches)" : "");
  *watch = (fc_watch){.watcher = w, .next = w->first, .descriptor = descriptor};
  snprintf(watch->name, sizeof watch->name, "%s", name);
  fc_wake_open(w->reactor, &watch->wake);
  w->first = watch;

  struct stat st;
  char path[4096];
  if (snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path && lstat(path, &st) == 0)
    appeared(watch);
  return 0;
}

void fc_watch_close (fc_watch *watch) {
  fc_watcher *w = watch->watcher;
  if (!w)
    return;
  bool shared = false;   /* the kernel gives one descriptor for one directory */
  for (fc_watch **at = &w->first; *at;) {
    if (*at == watch) {
      *at = watch->next;
      continue;
    }
    shared = shared || (*at)->descriptor == watch->descriptor;
    at = &(*at)->next;
  }
  if (!shared && fc_reactor_is_ours(w->reactor)) {
    inotify_rm_watch(w->fd, watch->descriptor);
    watcher_ready(&w->source, EPOLLIN);   /* takes the kernel's note of that, which would end the next wait */
  }
  fc_wake_close(w->reactor, &watch->wake);
  watch->watcher = NULL;
}
