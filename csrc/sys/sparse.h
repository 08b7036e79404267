/* sparse: what a file holds into another one, its holes left out, in steps that a loop can wait between. It removes
 * nothing: a copy that failed in the middle is the caller's to take away. @see lseek(2), copy_file_range(2), ioctl_ficlone(2) */
#ifndef FC_SPARSE_H
#define FC_SPARSE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

typedef struct {
  int from, to;           /* -1: closed */
  off_t size;             /* of the source when it was opened */
  off_t at, end;          /* what comes next; the end of the data it lies in */
  off_t dirty, dirty_end; /* written and on its way to the disk */
  bool fresh;             /* the target is new: zeros need not be written */
  bool sync;              /* the target reaches the disk before the last step is done */
  bool plain;             /* the kernel does not copy between these two: read and write */
  bool shared;            /* the target shares the source's blocks: nothing is left to copy */
} fc_sparse;

/* Copy a regular file, following links, to a new one (EEXIST otherwise) of this mode and the same size. */
int fc_sparse_copy (fc_sparse *s, const char *from, const char *to, mode_t mode, bool sync, fc_error *err);
/* The same into an empty file that is open for writing, which is taken over; `source` may only name its file (O_PATH).
 * `share`: by sharing its blocks or not at all (EOPNOTSUPP, EXDEV, …). */
int fc_sparse_fill (fc_sparse *s, int source, int to, bool share, fc_error *err);
/* Write what `from` holds over `onto`, at the same places; its holes leave `onto` as it is. Both are regular and of one size.
 * EINVAL where the holes of `from` cannot be trusted: its file system has none, or larger blocks than a guest's pages. */
int fc_sparse_merge (fc_sparse *s, const char *from, const char *onto, bool sync, fc_error *err);
/* Copy about `most` bytes. *done: all is copied, and on the disk where that was asked for. */
int fc_sparse_step (fc_sparse *s, size_t most, bool *done, fc_error *err);
/* Idempotent. */
void fc_sparse_close (fc_sparse *s);

#pragma GCC visibility pop
#endif
