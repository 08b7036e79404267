/* files: see files.h. */
#define _GNU_SOURCE
#include "files.h"

#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

int fc_files_mkdir (const char *path, mode_t mode, fc_error *err) {
  if (mkdir(path, mode) < 0)
    return fc_error_system(err, errno, "cannot make directory %s", path);
  if (chmod(path, mode) < 0) {
    int error = errno;
    rmdir(path);
    return fc_error_system(err, error, "cannot set the mode of %s", path);
  }
  return 0;
}

static int check_private (const char *path, const struct stat *st, fc_error *err) {
  if (!S_ISDIR(st->st_mode))
    return fc_error_set(err, "system", ENOTDIR, "%s is not a directory", path);
  if (st->st_uid != geteuid())
    return fc_error_set(err, "system", EPERM, "directory %s belongs to uid %u, not to us (%u)", path,
                        (unsigned)st->st_uid, (unsigned)geteuid());
  if (st->st_mode & (S_IWGRP | S_IWOTH))
    return fc_error_set(err, "system", EPERM, "directory %s can be written by others (mode %04o)", path,
                        (unsigned)(st->st_mode & 07777));
  return 0;
}

/* The path without slashes behind it: with one the kernel follows a link. */
static int trim_path (const char *path, char trimmed[PATH_MAX], fc_error *err) {
  size_t length = strlen(path);
  if (length == 0 || length >= PATH_MAX)
    return fc_error_system(err, length ? ENAMETOOLONG : ENOENT, "directory %.80s", path);
  memcpy(trimmed, path, length + 1);
  while (length > 1 && trimmed[length - 1] == '/')
    trimmed[--length] = '\0';
  return 0;
}

int fc_files_mkdir_private (const char *path, fc_error *err) {
  char part[PATH_MAX];
  struct stat st;
  if (trim_path(path, part, err) < 0)
    return -1;
  if (lstat(part, &st) == 0)   /* mostly */
    return check_private(part, &st, err);
  for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = '\0';
    if (mkdir(part, 0755) < 0 && errno != EEXIST)
      return fc_error_system(err, errno, "cannot make directory %s", part);
    *slash = '/';
  }
  if (mkdir(part, 0700) < 0 && errno != EEXIST)
    return fc_error_system(err, errno, "cannot make directory %s", part);
  if (lstat(part, &st) < 0)
    return fc_error_system(err, errno, "cannot look at %s", part);
  return check_private(part, &st, err);
}

int fc_files_mkfifo (const char *path, mode_t mode, fc_error *err) {
  if (mkfifo(path, mode) < 0)
    return fc_error_system(err, errno, "cannot make FIFO %s", path);
  return 0;
}

int fc_files_create (const char *path, mode_t mode, fc_error *err) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode);
  if (fd < 0)
    return fc_error_system(err, errno, "cannot make file %s", path);
  close(fd);
  return 0;
}

int fc_files_open (const char *path, int flags, mode_t mode, int *fd, fc_error *err) {
  int n = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, mode);
  if (n < 0)
    return fc_error_system(err, errno, "cannot open %s", path);
  if (!(flags & O_NONBLOCK) && fcntl(n, F_SETFL, flags & O_APPEND) < 0) {
    int error = errno;
    close(n);
    return fc_error_system(err, error, "cannot open %s", path);
  }
  *fd = n;
  return 0;
}

/* What was locked may be another file than the path's by now. */
static int lock_open (int fd, const char *path, fc_error *err) {
  struct stat st, now;
  if (flock(fd, LOCK_EX | LOCK_NB) < 0)
    return errno == EWOULDBLOCK ? 0 : fc_error_system(err, errno, "cannot lock %s", path);
  if (fstat(fd, &st) < 0)
    return fc_error_system(err, errno, "cannot look at %s", path);
  return lstat(path, &now) == 0 && st.st_dev == now.st_dev && st.st_ino == now.st_ino;
}

int fc_files_lock (const char *path, int *fd, fc_error *err) {
  int n = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (n < 0)
    return fc_error_system(err, errno, "cannot open %s", path);
  int locked = lock_open(n, path, err);
  if (locked <= 0)
    close(n);
  else
    *fd = n;
  return locked;
}

int fc_files_unlink (const char *path, fc_error *err) {
  if (unlink(path) < 0 && errno != ENOENT)
    return fc_error_system(err, errno, "cannot remove %s", path);
  return 0;
}

/* As DIR, but on the stack: a machine's directory has a handful of names. */
typedef struct {
  int fd;
  ssize_t length, at;
  char names[1024] __attribute__ ((aligned(__alignof__(struct dirent64))));
} listing;

static int open_directory (listing *d, const char *path, fc_error *err) {
  d->length = d->at = 0;
  d->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return d->fd < 0 ? fc_error_system(err, errno, "cannot open directory %s", path) : 0;
}

/* The next name that is neither "." nor ".."; NULL at the end, with a length of -1 and errno where that could not be reached. */
static const char *next_name (listing *d) {
  while (true) {
    if (d->at >= d->length) {
      d->at = 0;
      d->length = syscall(SYS_getdents64, d->fd, d->names, sizeof d->names);
      if (d->length <= 0)
        return NULL;
    }
    const struct dirent64 *entry = (const void *)(d->names + d->at);
    d->at += entry->d_reclen;
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      return entry->d_name;
  }
}

int fc_files_list (const char *path, fc_buffer *out, fc_error *err) {
  listing d;
  if (open_directory(&d, path, err) < 0)
    return -1;
  for (const char *name; (name = next_name(&d));)
    if (fc_buffer_append(out, name, strlen(name)) < 0 || fc_buffer_append(out, "/", 1) < 0) {
      close(d.fd);
      return fc_error_memory(err);
    }
  int error = errno;
  close(d.fd);
  return d.length < 0 ? fc_error_system(err, error, "cannot read directory %s", path) : 0;
}

static int remove_directory (const char *path, fc_error *err) {
  listing d;
  if (open_directory(&d, path, err) < 0)
    return err->errnum == ENOENT ? 0 : -1;
  for (const char *name; (name = next_name(&d));) {
    if (unlinkat(d.fd, name, 0) < 0 && errno != ENOENT) {
      int error = errno == EISDIR ? ENOTEMPTY : errno;
      fc_error_system(err, error, "cannot remove %s/%s", path, name);
      close(d.fd);
      return -1;
    }
  }
  int problem = errno;
  close(d.fd);
  if (d.length < 0)
    return fc_error_system(err, problem, "cannot read directory %s", path);
  if (rmdir(path) < 0 && errno != ENOENT)
    return fc_error_system(err, errno, "cannot remove directory %s", path);
  return 0;
}

typedef struct {
  const char *path;
  fc_error *err;
  int rc;
} removal;

/* In a child with descriptors of its own: one is given up for that of the directory. */
static int remove_in_child (void *argument) {
  removal *r = argument;
  close(0);
  close(1);
  close(2);
  r->rc = remove_directory(r->path, r->err);
  return 0;
}

int fc_files_remove_directory (const char *given, fc_error *err) {
  char path[PATH_MAX];
  pid_t pid;
  siginfo_t info;
  if (trim_path(given, path, err) < 0)
    return -1;
  removal r = {.path = path, .err = err, .rc = remove_directory(path, err)};
  if (r.rc < 0 && err->errnum == EMFILE) {   /* what comes to its end for want of descriptors leaves nothing either */
    fc_error own;
    if (fc_child_start(remove_in_child, &r, 0, &pid, NULL, &own) == 0)
      fc_child_wait(P_PID, (id_t)pid, &info);
  }
  return r.rc;
}

int fc_files_sync (const char *path, fc_error *err) {
  int fd = -1;
  if (fc_files_open(path, O_RDONLY, 0, &fd, err) < 0)
    return -1;
  int error = fsync(fd) < 0 ? errno : 0;
  close(fd);
  return error ? fc_error_system(err, error, "cannot write %s", path) : 0;
}

int fc_files_tail (const char *path, size_t limit, fc_buffer *out, fc_error *err) {
  int fd = -1;
  if (fc_files_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd, err) < 0)
    return -1;
  struct stat st;
  char *to = fc_buffer_reserve(out, limit);
  if (!to || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return to ? fc_error_set(err, "system", EINVAL, "%s is not a regular file", path) : fc_error_memory(err);
  }
  off_t from = st.st_size > (off_t)limit ? st.st_size - (off_t)limit : 0;
  ssize_t n = pread(fd, to, limit, from);
  int error = errno;
  close(fd);
  if (n < 0)
    return fc_error_system(err, error, "cannot read %s", path);
  fc_buffer_commit(out, (size_t)n);
  return 0;
}

int fc_files_absolute (const char *path, fc_buffer *out, fc_error *err) {
  char directory[PATH_MAX] = "";
  if (path[0] != '/' && !getcwd(directory, sizeof directory))
    return fc_error_system(err, errno, "cannot tell the working directory");
  const char *sides[] = {directory, path};
  size_t before = out->length;
  for (int i = 0; i < 2; i++) {
    for (const char *at = sides[i]; *at;) {
      size_t n = strcspn(at, "/");
      if (n > 0 && !(n == 1 && *at == '.') &&
          (fc_buffer_append(out, "/", 1) < 0 || fc_buffer_append(out, at, n) < 0))
        return fc_error_memory(err);
      at += n;
      at += *at == '/';
    }
  }
  if (out->length == before && fc_buffer_append(out, "/", 1) < 0)
    return fc_error_memory(err);
  return 0;
}

int fc_files_canonical (const char *path, fc_buffer *out, fc_error *err) {
  char resolved[PATH_MAX];
  if (!realpath(path, resolved))
    return fc_error_system(err, errno, "cannot look at %s", path);
  return fc_buffer_append(out, resolved, strlen(resolved)) < 0 ? fc_error_memory(err) : 0;
}

int fc_files_symlink (const char *target, const char *path, fc_error *err) {
  if (symlink(target, path) < 0)
    return fc_error_system(err, errno, "cannot make link %s", path);
  return 0;
}

int fc_files_look (const char *path, bool follow, struct stat *st, fc_error *err) {
  if ((follow ? stat(path, st) : lstat(path, st)) < 0)
    return fc_error_system(err, errno, "cannot look at %s", path);
  return 0;
}

int fc_files_access (const char *path, int mode, fc_error *err) {
  if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) < 0)
    return fc_error_system(err, errno, "cannot use %s", path);
  return 0;
}

uid_t fc_files_euid (void) {
  return geteuid();
}

int fc_files_random (void *bytes, size_t n, fc_error *err) {
  if (getrandom(bytes, n, 0) != (ssize_t)n)
    return fc_error_system(err, errno, "getrandom");
  return 0;
}

int fc_files_open_pty (int *master, int *slave, fc_error *err) {
  char name[64];
  struct termios mode;
  int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (m < 0)
    return fc_error_system(err, errno, "cannot open a pseudo-terminal%s", errno == ENOSPC ? " (kernel.pty.max)" : "");
  int s = -1;
  if (grantpt(m) < 0 || unlockpt(m) < 0 || ptsname_r(m, name, sizeof name) != 0 ||
      (s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 || tcgetattr(s, &mode) < 0)
    goto failed;
  cfmakeraw(&mode);
  if (tcsetattr(s, TCSANOW, &mode) < 0)
    goto failed;
  *master = m;
  *slave = s;
  return 0;
failed:;
  int error = errno;
  if (s >= 0)
    close(s);
  close(m);
  return fc_error_system(err, error, "cannot set up a pseudo-terminal");
}

int fc_files_reopen (int fd, int *out, fc_error *err) {
  char path[40];
  struct stat st;
  int n = -1, flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &st) < 0)
    return fc_error_system(err, errno, "descriptor %d", fd);
  if (!S_ISREG(st.st_mode)) {   /* a file keeps its shared offset: both writers append */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = open(path, (flags & O_ACCMODE) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  }
  if (n >= 0)
    fcntl(n, F_SETFL, flags & (O_APPEND | O_NONBLOCK));
  else
    n = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (n < 0)
    return fc_error_system(err, errno, "cannot duplicate descriptor %d", fd);
  *out = n;
  return 0;
}
