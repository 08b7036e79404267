/* copy: see copy.h. */
#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

int fc_copy_open (fc_copy *c, int source, int to, fc_error *err) {
  char path[40];
  struct stat st;
  snprintf(path, sizeof path, "/proc/self/fd/%d", source);
  *c = (fc_copy){.from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .to = to};
  if (c->from < 0 || fstat(c->from, &st) < 0) {
    int error = errno;
    fc_copy_close(c);
    return fc_error_system(err, error, "cannot open the file to copy");
  }
  c->size = st.st_size;
  return 0;
}

int fc_copy_clone (fc_copy *c, fc_error *err) {
  if (ioctl(c->to, FICLONE, c->from) < 0)
    return fc_error_system(err, errno, "cannot share the file's blocks");
  c->at = c->size;
  return 0;
}

static ssize_t copy_plain (fc_copy *c, size_t n) {
  char piece[PIECE];
  ssize_t got = pread(c->from, piece, n < sizeof piece ? n : sizeof piece, c->at);
  for (ssize_t put = 0; put < got;) {
    ssize_t written = pwrite(c->to, piece + put, (size_t)(got - put), c->at + put);
    if (written < 0)
      return -1;
    put += written;
  }
  return got;
}

static ssize_t copy_some (fc_copy *c, size_t n) {
  if (!c->plain) {
    off_t from = c->at, to = c->at;
    ssize_t done = copy_file_range(c->from, &from, c->to, &to, n, 0);
    if (done > 0 || (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EINTR)))
      return done;
    c->plain = true;   /* another file system, or one that has no such operation */
  }
  return copy_plain(c, n);
}

int fc_copy_step (fc_copy *c, size_t limit, fc_error *err) {
  while (c->at < c->size && limit > 0) {
    off_t data = lseek(c->from, c->at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {   /* a hole to the end */
      c->at = c->size;
      break;
    }
    c->at = data > c->at ? data : c->at;   /* a file system without holes: all of it is data */
    off_t hole = lseek(c->from, c->at, SEEK_HOLE);
    hole = hole < 0 || hole > c->size ? c->size : hole;
    while (c->at < hole && limit > 0) {
      size_t n = (size_t)(hole - c->at) < limit ? (size_t)(hole - c->at) : limit;
      ssize_t done = copy_some(c, n);
      if (done < 0 && errno == EINTR)
        continue;
      if (done < 0)
        return fc_error_system(err, errno, "cannot copy");
      if (done == 0)
        return fc_error_set(err, "system", EIO, "the file became shorter while it was copied");
      c->at += done;
      limit -= (size_t)done;
    }
  }
  if (c->at < c->size)
    return 1;
  if (ftruncate(c->to, c->size) < 0)   /* a hole at its end */
    return fc_error_system(err, errno, "cannot copy");
  return 0;
}

void fc_copy_close (fc_copy *c) {
  if (c->from >= 0)
    close(c->from);
  if (c->to >= 0)
    close(c->to);
  c->from = c->to = -1;
}
