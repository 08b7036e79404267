/* reactor: see reactor.h. @see epoll(7), epoll_pwait2(2), timerfd_create(2), madvise(2) */
#define _GNU_SOURCE
#include "reactor.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* A page that a fork empties in the child: asking it costs nothing, asking for the process's id a system call. */
static unsigned char *mark_ours (void) {
  unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return NULL;
  if (madvise(page, PAGE, MADV_WIPEONFORK) < 0) {
    munmap(page, PAGE);
    return NULL;
  }
  *page = 1;
  return page;
}

int fc_reactor_open (fc_reactor *r, fc_error *err) {
  *r = (fc_reactor){.epoll_fd = -1, .timer_fd = -1, .timer_fd_deadline = FC_NEVER, .pid = getpid()};
  r->ours = mark_ours();
  if (!r->ours)
    return fc_error_system(err, errno, "cannot map a page that is wiped on fork");
  r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (r->epoll_fd < 0) {
    fc_error_system(err, errno, "epoll_create1");
    fc_reactor_close(r);
    return -1;
  }
  return 0;
}

void fc_reactor_close (fc_reactor *r) {
  if (r->timer_fd >= 0)
    close(r->timer_fd);
  if (r->epoll_fd >= 0)
    close(r->epoll_fd);
  free(r->heap);
  if (r->ours)
    munmap(r->ours, PAGE);
  *r = (fc_reactor){.epoll_fd = -1, .timer_fd = -1, .timer_fd_deadline = FC_NEVER, .pid = r->pid};
}

bool fc_reactor_is_ours (const fc_reactor *r) {
  return r->epoll_fd >= 0 && *r->ours == 1;
}

int fc_reactor_check_ours (const fc_reactor *r, fc_error *err) {
  if (fc_reactor_is_ours(r))
    return 0;
  return fc_error_set(err, "system", EPERM, "firecracker was loaded by process %d; this one was forked from it and can only close",
                      (int)r->pid);
}

double fc_reactor_deadline (const fc_reactor *r) {
  if (r->first)
    return -FC_NEVER;
  return r->heap_used > 0 ? r->heap[1]->deadline : FC_NEVER;
}

/* Keep the descriptor for outer loops in step with the earliest deadline. */
static void set_timer_fd (fc_reactor *r) {
  double deadline = fc_reactor_deadline(r);
  if (r->timer_fd < 0 || deadline == r->timer_fd_deadline || !fc_reactor_is_ours(r))
    return;
  struct itimerspec when = {{0, 0}, {0, 0}};
  if (deadline < FC_NEVER) {
    when.it_value = fc_timespec(deadline);
    if (when.it_value.tv_sec == 0 && when.it_value.tv_nsec == 0)
      when.it_value.tv_nsec = 1;   /* zero would disarm */
  }
  timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
  r->timer_fd_deadline = deadline;
}

/* ---- descriptors ---- */

int fc_reactor_watch (fc_reactor *r, fc_source *s, int fd, uint32_t events,
                      void (*ready) (fc_source *, uint32_t), fc_error *err) {
  struct epoll_event e = {.events = events, .data.ptr = s};
  if (fc_reactor_check_ours(r, err) < 0)
    return -1;
  if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
    return fc_error_system(err, errno, "cannot watch descriptor %d", fd);
  *s = (fc_source){.fd = fd, .events = events, .registered = true, .ready = ready};
  return 0;
}

int fc_reactor_change (fc_reactor *r, fc_source *s, uint32_t events, fc_error *err) {
  if (s->events == events)
    return 0;
  struct epoll_event e = {.events = events, .data.ptr = s};
  if (fc_reactor_check_ours(r, err) < 0)
    return -1;
  if (epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, s->fd, &e) < 0)
    return fc_error_system(err, errno, "cannot change what descriptor %d is watched for", s->fd);
  s->events = events;
  return 0;
}

void fc_reactor_unwatch (fc_reactor *r, fc_source *s) {
  if (!s->registered)
    return;
  s->registered = false;
  if (!fc_reactor_is_ours(r))
    return;
  epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
  for (int i = r->batch_at; i < r->batch_count; i++)   /* events read but not dispatched yet */
    if (r->batch[i].data.ptr == s)
      r->batch[i].data.ptr = NULL;
}

/* ---- timers: a binary heap, heap[1] the earliest ---- */

static void place (fc_reactor *r, size_t slot, fc_timer *t) {
  r->heap[slot] = t;
  t->slot = slot;
}

static void sift_up (fc_reactor *r, size_t slot, fc_timer *t) {
  for (; slot > 1 && r->heap[slot / 2]->deadline > t->deadline; slot /= 2)
    place(r, slot, r->heap[slot / 2]);
  place(r, slot, t);
}

static void sift_down (fc_reactor *r, size_t slot, fc_timer *t) {
  for (size_t child; (child = slot * 2) <= r->heap_used; slot = child) {
    if (child < r->heap_used && r->heap[child + 1]->deadline < r->heap[child]->deadline)
      child++;
    if (r->heap[child]->deadline >= t->deadline)
      break;
    place(r, slot, r->heap[child]);
  }
  place(r, slot, t);
}

int fc_timer_open (fc_reactor *r, fc_timer *t, void (*fire) (fc_timer *), fc_error *err) {
  if (r->heap_reserved + 2 > r->heap_capacity) {
    size_t capacity = r->heap_capacity ? r->heap_capacity * 2 : 16;
    fc_timer **heap = realloc(r->heap, capacity * sizeof *heap);
    if (!heap)
      return fc_error_memory(err);
    r->heap = heap;
    r->heap_capacity = capacity;
  }
  r->heap_reserved++;
  *t = (fc_timer){.fire = fire};
  return 0;
}

void fc_timer_close (fc_reactor *r, fc_timer *t) {
  if (!t->fire)
    return;
  fc_timer_disarm(r, t);
  t->fire = NULL;
  r->heap_reserved--;
}

static void heap_remove (fc_reactor *r, fc_timer *t) {
  size_t slot = t->slot;
  t->slot = 0;
  if (slot == 0 || r->heap_used == 0)   /* closed: what is older than it is finalised later */
    return;
  fc_timer *last = r->heap[r->heap_used--];
  if (last == t)
    return;
  if (slot > 1 && r->heap[slot / 2]->deadline > last->deadline)
    sift_up(r, slot, last);
  else
    sift_down(r, slot, last);
}

void fc_timer_arm (fc_reactor *r, fc_timer *t, double deadline) {
  heap_remove(r, t);
  t->deadline = deadline;
  if (deadline < FC_NEVER && r->heap_capacity > 0)
    sift_up(r, ++r->heap_used, t);
  set_timer_fd(r);
}

void fc_timer_disarm (fc_reactor *r, fc_timer *t) {
  heap_remove(r, t);
  set_timer_fd(r);
}

static void fire_due_timers (fc_reactor *r) {
  if (r->heap_used == 0)
    return;
  double now = fc_now();
  while (r->heap_used > 0 && r->heap[1]->deadline <= now) {
    fc_timer *t = r->heap[1];
    heap_remove(r, t);
    t->fire(t);
  }
}

/* ---- what has fired ---- */

void fc_wake_open (fc_reactor *r, fc_wake *w) {
  *w = (fc_wake){.key = ++r->last_key};
}

void fc_wake_close (fc_reactor *r, fc_wake *w) {
  if (!w->queued)
    return;
  *(w->previous ? &w->previous->next : &r->first) = w->next;
  *(w->next ? &w->next->previous : &r->last) = w->previous;
  w->queued = false;
  set_timer_fd(r);
}

void fc_wake_fire (fc_reactor *r, fc_wake *w) {
  if (w->queued)
    return;
  w->queued = true;
  w->next = NULL;
  w->previous = r->last;
  *(r->last ? &r->last->next : &r->first) = w;
  r->last = w;
  set_timer_fd(r);
}

int64_t fc_reactor_first (const fc_reactor *r) {
  return r->first ? r->first->key : 0;
}

int64_t fc_reactor_fired (fc_reactor *r) {
  fc_wake *w = r->first;
  if (!w)
    return 0;
  fc_wake_close(r, w);
  return w->key;
}

/* ---- waiting ---- */

/* epoll_pwait2 waits by nanoseconds; kernels before 5.11 lack it and get milliseconds, rounded up. */
static int wait_events (fc_reactor *r, double deadline) {
  double span = deadline >= FC_NEVER ? FC_NEVER : deadline > 0 ? deadline - fc_now() : 0;
  struct timespec timeout = fc_timespec(span);
  int n = epoll_pwait2(r->epoll_fd, r->batch, FC_REACTOR_EVENTS, span >= FC_NEVER ? NULL : &timeout, NULL);
  if (n >= 0 || errno != ENOSYS)
    return n;
  int ms = span >= FC_NEVER ? -1 : span > 86400 ? 86400000 : (int)(span * 1e3 + 0.999);
  return epoll_wait(r->epoll_fd, r->batch, FC_REACTOR_EVENTS, ms < 0 && span < FC_NEVER ? 0 : ms);
}

int fc_reactor_step (fc_reactor *r, double deadline, fc_error *err) {
  if (fc_reactor_check_ours(r, err) < 0)   /* the parent's events would come here, for sources that may be gone */
    return -1;
  double earliest = fc_reactor_deadline(r);
  int n = wait_events(r, earliest < deadline ? earliest : deadline);
  if (n < 0) {
    if (errno == EINTR)
      return FC_STEP_INTERRUPTED;
    return fc_error_system(err, errno, "epoll_pwait2");
  }
  r->batch_count = n;
  for (r->batch_at = 0; r->batch_at < r->batch_count;) {
    struct epoll_event *e = &r->batch[r->batch_at++];
    fc_source *s = e->data.ptr;
    if (s)
      s->ready(s, e->events);
  }
  r->batch_count = r->batch_at = 0;
  fire_due_timers(r);
  set_timer_fd(r);
  return FC_STEP_DONE;
}

int fc_reactor_await (fc_reactor *r, double deadline, fc_error *err) {
  int rc = FC_STEP_DONE;
  while (rc == FC_STEP_DONE && !r->first && fc_now() < deadline)
    rc = fc_reactor_step(r, deadline, err);
  return rc;
}

int fc_reactor_pollfd (fc_reactor *r, int *fd, fc_error *err) {
  if (fc_reactor_check_ours(r, err) < 0)
    return -1;
  if (r->timer_fd < 0) {
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer_fd < 0)
      return fc_error_system(err, errno, "timerfd_create");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};   /* it only wakes the outer loop */
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, timer_fd, &e) < 0) {
      int e_num = errno;
      close(timer_fd);
      return fc_error_system(err, e_num, "cannot watch the timer");
    }
    r->timer_fd = timer_fd;
  }
  r->timer_fd_deadline = -1;
  set_timer_fd(r);
  *fd = r->epoll_fd;
  return 0;
}
