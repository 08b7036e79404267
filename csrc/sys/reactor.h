/* reactor: the one place to wait. epoll for descriptors, a heap for timers, and a queue of what has
 * been fired, which the layer above drains. One thread, no signal handlers; EINTR is handed up.
 * Sources, timers and wakes live inside their owners' structures: the reactor allocates nothing for
 * them but heap slots, which are reserved when a timer is initialised. */
#ifndef FC_REACTOR_H
#define FC_REACTOR_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

typedef struct fc_reactor fc_reactor;
typedef struct fc_source fc_source;
typedef struct fc_timer fc_timer;
typedef struct fc_wake fc_wake;

/* Something the layer above waits for, told by a key that is never used again. */
struct fc_wake {
  fc_wake *next, *previous;
  bool queued;
  int64_t key;
};

/* A descriptor that is watched. `ready` gets the epoll events; it may remove any source. */
struct fc_source {
  int fd;
  uint32_t events;   /* 0: not registered with the kernel */
  bool registered;
  void (*ready) (fc_source *source, uint32_t events);
};

/* A moment at which `fire` is called once. */
struct fc_timer {
  double deadline;
  size_t slot;       /* place in the heap, counted from 1; 0: not armed */
  void (*fire) (fc_timer *timer);
};

enum { FC_REACTOR_EVENTS = 64 };

struct fc_reactor {
  int epoll_fd;
  int timer_fd;                  /* for outer loops; -1 until fc_reactor_pollfd */
  double timer_fd_deadline;
  pid_t pid;                     /* who made it */
  unsigned char *ours;           /* a page whose first byte is 1, and 0 in a forked child, which must not touch the epoll set */
  int64_t last_key;
  fc_timer **heap;               /* heap[1] is the earliest */
  size_t heap_used, heap_reserved, heap_capacity;
  fc_wake *first, *last;         /* fired, not yet drained */
  struct epoll_event batch[FC_REACTOR_EVENTS];
  int batch_count, batch_at;
};

enum fc_step { FC_STEP_DONE, FC_STEP_INTERRUPTED };

int fc_reactor_open (fc_reactor *r, fc_error *err);
void fc_reactor_close (fc_reactor *r);
/* False in a child that a host program forked. */
bool fc_reactor_is_ours (const fc_reactor *r);
/* The same as 0, or -1 and err: everything but closing begins with it. */
int fc_reactor_check_ours (const fc_reactor *r, fc_error *err);

int fc_reactor_watch (fc_reactor *r, fc_source *s, int fd, uint32_t events,
                      void (*ready) (fc_source *, uint32_t), fc_error *err);
int fc_reactor_change (fc_reactor *r, fc_source *s, uint32_t events, fc_error *err);
/* Idempotent. Does not close the descriptor; call it before closing. */
void fc_reactor_unwatch (fc_reactor *r, fc_source *s);

/* Reserve the heap slot a timer needs, so that arming cannot fail. */
int fc_timer_open (fc_reactor *r, fc_timer *t, void (*fire) (fc_timer *), fc_error *err);
void fc_timer_close (fc_reactor *r, fc_timer *t);
void fc_timer_arm (fc_reactor *r, fc_timer *t, double deadline);
void fc_timer_disarm (fc_reactor *r, fc_timer *t);

void fc_wake_open (fc_reactor *r, fc_wake *w);
void fc_wake_close (fc_reactor *r, fc_wake *w);
/* Put it at the end of the fired queue, once. */
void fc_wake_fire (fc_reactor *r, fc_wake *w);
/* Key of the first fired wake, left where it is; 0 when there is none. */
int64_t fc_reactor_first (const fc_reactor *r);
/* The same, taken off the queue. */
int64_t fc_reactor_fired (fc_reactor *r);

/* Wait until something happens or the deadline (fc_now time) comes, dispatch it, fire due timers.
 * Returns FC_STEP_DONE, FC_STEP_INTERRUPTED (a signal came; nothing lost), or -1. */
int fc_reactor_step (fc_reactor *r, double deadline, fc_error *err);
/* The same, again and again until something has fired or the deadline has come; FC_STEP_INTERRUPTED as well. */
int fc_reactor_await (fc_reactor *r, double deadline, fc_error *err);
/* The earliest armed deadline; -infinity when something fired waits to be drained; FC_NEVER. */
double fc_reactor_deadline (const fc_reactor *r);
/* One descriptor that is readable whenever a step would do something, for other event loops. */
int fc_reactor_pollfd (fc_reactor *r, int *fd, fc_error *err);

#pragma GCC visibility pop
#endif
