/* tree: see tree.h. */
#define _GNU_SOURCE
#include "tree.h"

#include "child.h"
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { DEPTH = 32 };   /* descriptors that a removal holds at once */

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

struct attributes { uint64_t set, clear, propagation, userns; };   /* struct mount_attr */

static int resolve_from (int root, const char *path, int flags, uint64_t mode, uint64_t more) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | more};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The directory of a path beneath a root and the path's last part. */
static int resolve_parent (int root, const char *path, const char **name) {
  char parent[PATH_MAX];
  const char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  if (!**name) {   /* a directory's own name is before its slash */
    errno = EINVAL;
    return -1;
  }
  if (!slash)
    return fcntl(root, F_DUPFD_CLOEXEC, 3);
  if ((size_t)(slash - path) >= sizeof parent) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(parent, path, (size_t)(slash - path));
  parent[slash - path] = '\0';
  return resolve_from(root, parent, O_PATH | O_DIRECTORY, 0, 0);
}

static void proc_path (char path[40], int fd) {
  snprintf(path, 40, "/proc/self/fd/%d", fd);
}

/* For the functions below that end with one system call: its outcome, `fd` closed. */
static int finish (int rc, int fd, const char *what, const char *path, fc_error *err) {
  int error = errno;
  if (fd >= 0)
    close(fd);
  return rc < 0 ? fc_error_system(err, error, "cannot %s %s", what, path) : 0;
}

int fc_tree_name (const char *path, int *fd, fc_error *err) {
  int n = open(path, O_PATH | O_CLOEXEC);
  if (n < 0)
    return fc_error_system(err, errno, "cannot open %s", path);
  *fd = n;
  return 0;
}

int fc_tree_at (int root, const char *path, int *fd, fc_error *err) {
  int n = resolve_from(root, path, O_PATH | O_NOFOLLOW, 0, 0);
  if (n < 0)
    return fc_error_system(err, errno, "cannot open %s in the jail", path);
  *fd = n;
  return 0;
}

int fc_tree_look (int fd, struct stat *st, fc_error *err) {
  if (fstat(fd, st) < 0)
    return fc_error_system(err, errno, "cannot look at descriptor %d", fd);
  return 0;
}

int fc_tree_give (int fd, uid_t uid, gid_t gid, long mode, fc_error *err) {
  char path[40];
  struct stat st;
  proc_path(path, fd);
  if (fstat(fd, &st) < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ||
      (mode >= 0 && !S_ISLNK(st.st_mode) && chmod(path, (mode_t)mode) < 0))
    return fc_error_system(err, errno, "cannot set the owner of descriptor %d", fd);
  return 0;
}

/* Names a directory's descriptor can be opened by for reading. */
static int reopen_directory (int fd) {
  return openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int fc_tree_mkdir (int root, const char *path, mode_t mode, uid_t uid, gid_t gid, fc_error *err) {
  char part[PATH_MAX];
  size_t length = strlen(path);
  if (length >= sizeof part)
    return fc_error_system(err, ENAMETOOLONG, "cannot make directory %.80s", path);
  for (size_t end = 0; end < length; end++) {
    end += strcspn(path + end, "/");
    memcpy(part, path, end);
    part[end] = '\0';
    const char *name;
    int parent = resolve_parent(root, part, &name);
    int made = parent < 0 ? -1 : mkdirat(parent, name, mode);
    int fd = made == 0 || (parent >= 0 && errno == EEXIST) ? resolve_from(parent, name, O_RDONLY | O_DIRECTORY, 0, 0) : -1;
    bool given = uid != (uid_t)-1 && (made == 0 || end == length);
    int rc = fd < 0 || ((made == 0 || given) && fchmod(fd, mode) < 0) || (given && fchown(fd, uid, gid) < 0) ? -1 : 0;
    int error = errno;
    if (fd >= 0)
      close(fd);
    errno = error;
    if (finish(rc, parent, "make directory", part, err) < 0)
      return -1;
  }
  return 0;
}

int fc_tree_create (int root, const char *path, mode_t mode, int *fd, fc_error *err) {
  int n = resolve_from(root, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 07777, 0);
  if (n < 0)
    return fc_error_system(err, errno, "cannot make %s in the jail", path);
  *fd = n;
  return 0;
}

int fc_tree_link (int root, const char *path, int source, fc_error *err) {
  char from[40];
  const char *name;
  proc_path(from, source);
  int parent = resolve_parent(root, path, &name);
  return finish(parent < 0 ? -1 : linkat(AT_FDCWD, from, parent, name, AT_SYMLINK_FOLLOW), parent, "link", path, err);
}

/* Give a device that was just made to a user: itself, as another file may have its name by now. */
static int give_device (int parent, const char *name, const struct stat *source, uid_t uid, gid_t gid, mode_t mode) {
  struct stat st;
  fc_error err;
  int error = 0, fd = resolve_from(parent, name, O_PATH | O_NOFOLLOW, 0, 0);
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) < 0)
    error = errno;
  else if ((st.st_mode & S_IFMT) != (source->st_mode & S_IFMT) || st.st_rdev != source->st_rdev || st.st_nlink != 1)
    error = EPERM;
  else if (fc_tree_give(fd, uid, gid, (long)mode, &err) < 0)
    error = err.errnum;
  close(fd);
  errno = error;
  return error ? -1 : 0;
}

int fc_tree_mknod (int root, const char *path, int source, uid_t uid, gid_t gid, mode_t mode, fc_error *err) {
  const char *name;
  struct stat st;
  if (fstat(source, &st) < 0 || (!S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode)))
    return fc_error_set(err, "system", EINVAL, "not a device: the original of %s", path);
  int parent = resolve_parent(root, path, &name);
  int rc = parent < 0 ? -1 : mknodat(parent, name, (st.st_mode & S_IFMT) | 0600, st.st_rdev);
  if (rc == 0)
    rc = give_device(parent, name, &st, uid, gid, mode);
  return finish(rc, parent, "make device", path, err);
}

/* ---- mounts ---- */

static int attach (int mount_fd, int root, const char *path) {
  int target = resolve_from(root, path, O_PATH | O_NOFOLLOW, 0, 0);
  struct stat st;
  if (target < 0)
    return -1;
  int rc = -1, error = ELOOP;
  if (fstat(target, &st) == 0 && S_ISREG(st.st_mode)) {
    rc = move_mount(mount_fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    error = errno;
  }
  close(target);
  errno = error;
  return rc;
}

/* What attach_elsewhere needs of a process: its root, which is that of a chroot and not the namespace's, and its mount
 * namespace. Both are those of one process, whoever gets its number; ESRCH unless its root is the tree. */
static int open_process (pid_t pid, int tree, int *root, int *ns) {
  char name[32];
  struct stat here = {0}, there = {0};
  snprintf(name, sizeof name, "/proc/%d", (int)pid);
  int proc = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  *root = proc < 0 ? -1 : openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  *ns = *root < 0 ? -1 : openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
  int error = *ns < 0 || fstat(tree, &here) < 0 || fstat(*root, &there) < 0 ? errno : 0;
  if (error == ENOENT || (error == 0 && (here.st_dev != there.st_dev || here.st_ino != there.st_ino)))
    error = ESRCH;
  if (proc >= 0)
    close(proc);
  if (error == 0)
    return 0;
  if (*root >= 0)
    close(*root);
  if (*ns >= 0)
    close(*ns);
  errno = error;
  return -1;
}

/* A child of its own, as a process cannot leave a mount namespace it has joined: system calls only. */
static int attach_elsewhere (int mount_fd, int tree, const char *path, pid_t pid) {
  int root, fd;
  if (open_process(pid, tree, &root, &fd) < 0)
    return -1;
  uint64_t all = ~UINT64_C(0), before;   /* no handler of the host program runs in the child */
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  int pidfd = -1;
  long child = syscall(SYS_clone, CLONE_VFORK | CLONE_PIDFD, NULL, &pidfd, NULL, 0);
  if (child == 0) {
    if (setns(fd, CLONE_NEWNS) < 0 || attach(mount_fd, root, path) < 0)
      _exit(errno & 0xff);
    _exit(0);
  }
  int error = errno;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  close(fd);
  close(root);
  if (child < 0) {
    errno = error;
    return -1;
  }
  siginfo_t info = {0};
  int rc = fc_child_wait(P_PIDFD, (id_t)pidfd, &info);
  close(pidfd);
  errno = rc < 0 || info.si_code != CLD_EXITED ? ECHILD : info.si_status;
  return errno ? -1 : 0;
}

int fc_tree_bind (int root, const char *path, int source, bool read_only, pid_t pid, fc_error *err) {
  struct attributes attributes = {.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                         (read_only ? MOUNT_ATTR_RDONLY : 0)};
  int fd = open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  int rc = fd < 0 ? -1 : (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
  if (rc == 0)
    rc = pid > 0 ? attach_elsewhere(fd, root, path, pid) : attach(fd, root, path);
  return finish(rc, fd, "mount", path, err);
}

int fc_tree_read (int root, const char *path, size_t limit, fc_buffer *out, fc_error *err) {
  struct stat st;
  int fd = resolve_from(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, 0);
  char *to = fc_buffer_reserve(out, limit);
  if (fd < 0 || !to || fstat(fd, &st) < 0) {
    int error = to ? errno : ENOMEM;
    if (fd >= 0)
      close(fd);
    return fc_error_system(err, error, "cannot read %s in the jail", path);
  }
  if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_nlink != 1) {
    close(fd);
    return fc_error_set(err, "system", EPERM, "%s in the jail is not the jailer's", path);
  }
  ssize_t n = read(fd, to, limit);
  if (n >= 0)
    fc_buffer_commit(out, (size_t)n);
  return finish(n < 0 ? -1 : 0, fd, "read", path, err);
}

/* ---- removal ---- */

typedef struct {
  int top;           /* the topmost directory that is removed: where deep ones go, to be removed from there */
  int budget;
  unsigned serial;   /* of their names there */
} removal;

/* What is mounted on a name, taken away; errno otherwise. */
static int unmount (int directory, const char *name) {
  char path[40];
  int fd = resolve_from(directory, name, O_PATH | O_NOFOLLOW, 0, 0);
  if (fd < 0)
    return -1;
  proc_path(path, fd);
  int rc = umount2(path, MNT_DETACH);
  int error = errno;
  close(fd);
  errno = error;
  return rc;
}

static int remove_entry (removal *r, int directory, const char *name, int depth);

/* All entries of a directory; takes the descriptor. -1 with errno, 0, or 1 when the budget is spent. */
static int empty (removal *r, int fd, int depth) {
  int rc = 0;
  DIR *entries = fdopendir(fd);
  if (!entries) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  for (struct dirent *entry; rc == 0 && (entry = readdir(entries));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      rc = remove_entry(r, dirfd(entries), entry->d_name, depth);
  int error = errno;
  closedir(entries);
  errno = error;
  return rc;
}

/* However deep the tree is, few descriptors are open: a directory far down moves to the top. */
static int hoist (removal *r, int directory, const char *name) {
  char fresh[40];
  for (int tries = 0; tries < 1000; tries++) {
    snprintf(fresh, sizeof fresh, ".removed-%u", r->serial++);
    if (renameat2(directory, name, r->top, fresh, RENAME_NOREPLACE) == 0)
      return 1;   /* more to do */
    if (errno != EEXIST)
      return -1;
  }
  return -1;
}

static int remove_directory (removal *r, int directory, const char *name, int depth) {
  if (depth >= DEPTH)
    return hoist(r, directory, name);
  int fd = resolve_from(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV);
  if (fd < 0 && errno == EXDEV)
    return unmount(directory, name) < 0 ? -1 : 1;
  int open_fd = -1;
  fc_error ignored;
  if (fd >= 0 && fc_tree_give(fd, 0, 0, 0700, &ignored) == 0)   /* nobody adds to it from here */
    open_fd = reopen_directory(fd);
  int error = errno;
  if (fd >= 0)
    close(fd);
  errno = error;
  if (depth == 0)
    r->top = open_fd;
  int rc = open_fd < 0 ? -1 : empty(r, open_fd, depth + 1);
  if (rc == 0)
    rc = unlinkat(directory, name, AT_REMOVEDIR);
  return rc < 0 && errno == ENOTEMPTY ? 1 : rc;
}

static int remove_entry (removal *r, int directory, const char *name, int depth) {
  if (r->budget-- <= 0)
    return 1;
  int rc = unlinkat(directory, name, 0);
  bool forbidden = rc < 0 && errno == EPERM;   /* what POSIX says of a directory, and Linux of what is immutable */
  if (rc < 0 && (errno == EISDIR || forbidden))
    rc = remove_directory(r, directory, name, depth);
  if (rc < 0 && errno == EBUSY)
    rc = unmount(directory, name) < 0 ? -1 : 1;
  if (rc < 0 && forbidden && (errno == ENOTDIR || errno == ELOOP)) {
    errno = EPERM;
    return -1;
  }
  if (rc < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))   /* gone, or another one by now */
    rc = errno == ENOENT ? 0 : 1;
  return rc;
}

int fc_tree_remove (int root, const char *path, int budget, fc_error *err) {
  const char *name;
  int parent = resolve_parent(root, path, &name);
  if (parent < 0)
    return errno == ENOENT ? 0 : fc_error_system(err, errno, "cannot remove %s in the jail", path);
  removal r = {.top = -1, .budget = budget};
  if (fc_files_random(&r.serial, sizeof r.serial, err) < 0) {   /* the tree's user cannot have taken the names before */
    close(parent);
    return -1;
  }
  int rc = remove_entry(&r, parent, name, 0);
  int error = errno;
  close(parent);
  return rc < 0 ? fc_error_system(err, error, "cannot remove %s in the jail", path) : rc;
}

int fc_tree_list (int root, fc_buffer *out, fc_error *err) {
  int rc = 0, fd = reopen_directory(root);
  DIR *entries = fd < 0 ? NULL : fdopendir(fd);
  if (!entries) {
    int error = errno;
    if (fd >= 0)
      close(fd);
    return fc_error_system(err, error, "cannot read a directory of the jail");
  }
  for (struct dirent *entry; rc == 0 && (errno = 0, entry = readdir(entries));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      rc = fc_buffer_append(out, entry->d_name, strlen(entry->d_name) + 1);
  int error = errno;
  closedir(entries);
  if (rc == 0 && error)
    return fc_error_system(err, error, "cannot read a directory of the jail");
  return rc < 0 ? fc_error_memory(err) : 0;
}
