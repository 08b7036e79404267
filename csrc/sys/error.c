/* error: see error.h. */
#define _GNU_SOURCE
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

int fc_error_set (fc_error *err, const char *code, int errnum, const char *format, ...) {
  va_list args;
  err->code = code;
  err->errnum = errnum;
  va_start(args, format);
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  return -1;
}

int fc_error_system (fc_error *err, int errnum, const char *format, ...) {
  va_list args;
  err->code = "system";
  err->errnum = errnum;
  va_start(args, format);
  int n = vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  if (n >= 0 && (size_t)n < sizeof err->message) {
    char text[128], limit[64] = "";
    struct rlimit files;
    if (errnum == EMFILE && getrlimit(RLIMIT_NOFILE, &files) == 0)
      snprintf(limit, sizeof limit, " (RLIMIT_NOFILE is %llu)", (unsigned long long)files.rlim_cur);
    snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s%s",
             strerror_r(errnum, text, sizeof text), limit);
  }
  return -1;
}

int fc_error_memory (fc_error *err) {
  return fc_error_set(err, "memory", ENOMEM, "out of memory");
}

const char *fc_error_name (int errnum) {
  return strerrorname_np(errnum);
}
