/* copy: a file's content into another file, piece by piece, so that the caller can do other things meanwhile. Holes
 * stay holes. @see ioctl_ficlone(2), copy_file_range(2), lseek(2) */
#ifndef FC_COPY_H
#define FC_COPY_H

#include "error.h"

#include <stdbool.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

typedef struct {
  int from, to;       /* -1: closed */
  off_t at, size;
  bool plain;         /* copy_file_range cannot: read and write */
} fc_copy;

/* Begin: `source` names a regular file (O_PATH will do); `to` is taken over. */
int fc_copy_open (fc_copy *c, int source, int to, fc_error *err);
/* Share the blocks of the whole file. Fails where the file system cannot (EOPNOTSUPP, EXDEV, …). */
int fc_copy_clone (fc_copy *c, fc_error *err);
/* Copy at most `limit` bytes of data. 1: there is more; 0: done. */
int fc_copy_step (fc_copy *c, size_t limit, fc_error *err);
/* Idempotent. */
void fc_copy_close (fc_copy *c);

#pragma GCC visibility pop
#endif
