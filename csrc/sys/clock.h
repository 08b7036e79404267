/* clock: CLOCK_MONOTONIC in seconds, and deadlines made from it. A deadline is an absolute time;
 * FC_NEVER is the deadline that does not come. */
#ifndef FC_CLOCK_H
#define FC_CLOCK_H

#include <math.h>
#include <time.h>

#define FC_NEVER HUGE_VAL

/* Seconds since an arbitrary start, never stepping back. @see clock_gettime(2) */
static inline double fc_now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A time span in seconds as a timespec: never negative, at most some 30 years. */
static inline struct timespec fc_timespec (double seconds) {
  struct timespec t = {0, 0};
  if (seconds > 1e9)
    seconds = 1e9;
  if (seconds > 0) {
    t.tv_sec = (time_t)seconds;
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
  }
  return t;
}

#endif
