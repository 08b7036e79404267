/* error: what went wrong, as a value. Nothing to free, nothing global; the last parameter of every
 * function that can fail.. It knows no Lua. */
#ifndef FC_ERROR_H
#define FC_ERROR_H

#pragma GCC visibility push(hidden)

typedef struct {
  const char *code;   /* stable word, static storage: "system", "spawn", "http", … */
  int errnum;         /* errno(3), 0 where none applies */
  char message[480];  /* one line, without the code */
} fc_error;

/* Fill err; returns -1, so that `return fc_error_set (…)` ends a function. */
int fc_error_set (fc_error *err, const char *code, int errnum, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

/* Like fc_error_set with code "system" and ": strerror" behind the text, and of too many descriptors the limit. */
int fc_error_system (fc_error *err, int errnum, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/* Out of memory; returns -1. */
int fc_error_memory (fc_error *err);

/* "ENOENT" for ENOENT; NULL for a number without a name. */
const char *fc_error_name (int errnum);

#pragma GCC visibility pop
#endif
