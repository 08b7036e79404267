/* sparse: see sparse.h. */
#define _GNU_SOURCE
#include "sparse.h"

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE 4096   /* of a guest: the unit of what a diff holds */

void fc_sparse_close (fc_sparse *s) {
  fc_files_close(&s->from);
  fc_files_close(&s->to);
}

/* Open the source and look at it. */
static int open_source (fc_sparse *s, const char *path, struct stat *st, fc_error *err) {
  if (fc_files_open(path, O_RDONLY, 0, &s->from, err) < 0)
    return -1;
  if (fstat(s->from, st) < 0)
    return fc_error_system(err, errno, "cannot look at %s", path);
  if (!S_ISREG(st->st_mode))
    return fc_error_set(err, "system", EINVAL, "%s is not a regular file", path);
  s->size = st->st_size;
  return 0;
}

static int open_copy (fc_sparse *s, const char *from, const char *to, mode_t mode, fc_error *err) {
  struct stat st;
  if (open_source(s, from, &st, err) < 0)
    return -1;
  s->to = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode);
  if (s->to < 0)
    return fc_error_system(err, errno, "cannot make file %s", to);
  s->shared = ioctl(s->to, FICLONE, s->from) == 0;
  if (fchmod(s->to, mode) < 0 || (!s->shared && ftruncate(s->to, s->size) < 0)) {
    int error = errno;
    unlink(to);
    return fc_error_system(err, error, "cannot make file %s", to);
  }
  return 0;
}

int fc_sparse_copy (fc_sparse *s, const char *from, const char *to, mode_t mode, bool sync, fc_error *err) {
  *s = (fc_sparse){.from = -1, .to = -1, .fresh = true, .sync = sync};
  if (open_copy(s, from, to, mode, err) < 0) {
    fc_sparse_close(s);
    return -1;
  }
  return 0;
}

int fc_sparse_fill (fc_sparse *s, int source, int to, bool share, fc_error *err) {
  char path[40];
  struct stat st;
  snprintf(path, sizeof path, "/proc/self/fd/%d", source);
  *s = (fc_sparse){.from = -1, .to = to, .fresh = true, .shared = share};
  int rc = open_source(s, path, &st, err);
  if (rc == 0 && (share ? ioctl(to, FICLONE, s->from) : ftruncate(to, s->size)) < 0)
    rc = fc_error_system(err, errno, share ? "cannot share the file's blocks" : "cannot make the file so large");
  if (rc < 0)
    fc_sparse_close(s);
  return rc;
}

/* A file system without holes shows one run of data; with larger blocks, zeros round what was written. */
static int check_holes (const fc_sparse *s, const struct stat *st, const char *path, fc_error *err) {
  if (st->st_blksize > PAGE)
    return fc_error_set(err, "system", EINVAL, "%s: the blocks of its file system (%ld bytes) are larger than pages: what it "
                        "holds cannot be told from holes", path, (long)st->st_blksize);
  if (st->st_size > 0 && st->st_blocks < st->st_size / 512 && lseek(s->from, 0, SEEK_HOLE) >= st->st_size)
    return fc_error_set(err, "system", EINVAL, "%s: its file system does not show its holes", path);
  return 0;
}

static int open_merge (fc_sparse *s, const char *from, const char *onto, fc_error *err) {
  struct stat source, target;
  if (open_source(s, from, &source, err) < 0 || check_holes(s, &source, from, err) < 0 ||
      fc_files_open(onto, O_RDWR, 0, &s->to, err) < 0)
    return -1;
  if (fstat(s->to, &target) < 0)
    return fc_error_system(err, errno, "cannot look at %s", onto);
  if (!S_ISREG(target.st_mode))
    return fc_error_set(err, "system", EINVAL, "%s is not a regular file", onto);
  if (target.st_dev == source.st_dev && target.st_ino == source.st_ino)
    return fc_error_set(err, "system", EINVAL, "%s and %s are one file", from, onto);
  if (target.st_size != source.st_size)
    return fc_error_set(err, "system", EINVAL, "%s has %lld bytes, %s %lld", from, (long long)source.st_size, onto,
                        (long long)target.st_size);
  return 0;
}

int fc_sparse_merge (fc_sparse *s, const char *from, const char *onto, bool sync, fc_error *err) {
  *s = (fc_sparse){.from = -1, .to = -1, .sync = sync};
  if (open_merge(s, from, onto, err) < 0) {
    fc_sparse_close(s);
    return -1;
  }
  return 0;
}

/* The next run of data into at and end; at is the size when there is none. */
static int find_data (fc_sparse *s, fc_error *err) {
  off_t data = lseek(s->from, s->at, SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    s->at = s->end = s->size;
    return 0;
  }
  off_t hole = data < 0 ? data : lseek(s->from, data, SEEK_HOLE);
  if (hole < 0 && errno != EINVAL)
    return fc_error_system(err, errno, "cannot tell data from holes");
  s->at = hole < 0 ? s->at : data;
  s->end = hole < 0 || hole > s->size ? s->size : hole;
  if (s->at > s->size)
    s->at = s->end = s->size;
  return 0;
}

static bool is_zero (const char *bytes, size_t n) {
  return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

static int write_all (int fd, const char *bytes, size_t n, off_t at, fc_error *err) {
  while (n > 0) {
    ssize_t written = pwrite(fd, bytes, n, at);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return fc_error_system(err, written < 0 ? errno : EIO, "cannot write");
    bytes += written;
    n -= (size_t)written;
    at += written;
  }
  return 0;
}

/* What copy_file_range does, where it does not. */
static ssize_t copy_plain (const fc_sparse *s, size_t n, fc_error *err) {
  char bytes[16 * PAGE];
  size_t copied = 0;
  while (copied < n) {
    off_t at = s->at + (off_t)copied;
    size_t wanted = n - copied < sizeof bytes ? n - copied : sizeof bytes;
    ssize_t got = pread(s->from, bytes, wanted, at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return got < 0 ? fc_error_system(err, errno, "cannot read") : (ssize_t)copied;
    for (ssize_t part = 0; part < got; part += PAGE) {
      size_t length = got - part < PAGE ? (size_t)(got - part) : PAGE;
      if (!(s->fresh && is_zero(bytes + part, length)) && write_all(s->to, bytes + part, length, at + part, err) < 0)
        return -1;
    }
    copied += (size_t)got;
  }
  return (ssize_t)copied;
}

static ssize_t copy_some (fc_sparse *s, size_t n, fc_error *err) {
  if (!s->plain) {
    off_t in = s->at, out = s->at;
    ssize_t copied = copy_file_range(s->from, &in, s->to, &out, n, 0);
    if (copied > 0)
      return copied;
    if (copied < 0 && errno == EINTR)
      return copy_some(s, n, err);
    if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM)
      return fc_error_system(err, errno, "cannot copy");
    s->plain = true;
  }
  return copy_plain(s, n, err);
}

/* A failure that it tells of no fsync tells of again. */
static int write_out (const fc_sparse *s, off_t at, off_t end, unsigned how, fc_error *err) {
  if (end <= at || sync_file_range(s->to, at, end - at, how) == 0 || errno == EINVAL || errno == ENOSYS || errno == ESPIPE ||
      errno == EPERM)
    return 0;
  return fc_error_system(err, errno, "cannot write");
}

/* Set what was just written going, and wait for what was before it: a last fsync then has little to wait for.
 * A file system that cannot leaves all to that. @see sync_file_range(2) */
static int set_going (fc_sparse *s, off_t at, off_t end, fc_error *err) {
  if (!s->sync)
    return 0;
  if (write_out(s, s->dirty, s->dirty_end, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER, err) < 0)
    return -1;
  s->dirty = at;
  s->dirty_end = end;
  return write_out(s, at, end, SYNC_FILE_RANGE_WRITE, err);
}

static int became_shorter (fc_error *err) {
  return fc_error_set(err, "system", EIO, "the file became shorter while it was copied");
}

/* Its last part may have looked like a hole. */
static int check_size (const fc_sparse *s, fc_error *err) {
  struct stat st;
  if (fstat(s->from, &st) < 0)
    return fc_error_system(err, errno, "cannot look at what was copied");
  return st.st_size < s->size ? became_shorter(err) : 0;
}

int fc_sparse_step (fc_sparse *s, size_t most, bool *done, fc_error *err) {
  off_t left = most > 0 ? (off_t)most : 1;
  while (left > 0 && !s->shared && s->at < s->size) {
    if (s->at == s->end && find_data(s, err) < 0)
      return -1;
    if (s->at == s->end)
      break;
    off_t run = s->end - s->at;
    ssize_t copied = copy_some(s, (size_t)(run < left ? run : left), err);
    if (copied < 0)
      return -1;
    if (copied == 0)
      return became_shorter(err);
    if (set_going(s, s->at, s->at + copied, err) < 0)
      return -1;
    s->at += copied;
    left -= copied;
  }
  *done = s->shared || s->at >= s->size;
  if (!*done)
    return 0;
  if ((!s->shared && check_size(s, err) < 0) || set_going(s, 0, 0, err) < 0)
    return -1;
  if (s->sync && fsync(s->to) < 0)
    return fc_error_system(err, errno, "cannot write");
  return 0;
}
