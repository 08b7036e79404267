/* netns: see netns.h. @see setns(2), unshare(2), mount(2) */
#define _GNU_SOURCE
#include "netns.h"

#include "child.h"
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#define DIRECTORY "/run/netns"
enum { PATH_SIZE = sizeof DIRECTORY + 1 + NAME_MAX };

/* ---- in the child: system calls only ---- */

typedef struct {
  int netns;            /* to enter; -1: a new one */
  const char *path;     /* to open; NULL: a socket */
  int flags, domain, type, protocol;
  const char *volatile step, *volatile needs;
  volatile int fd, error;
} child_job;

static int child_main (void *argument) {
  child_job *job = argument;
  job->step = job->netns >= 0 ? "enter the network namespace" : "make a network namespace";
  job->needs = " (needs CAP_SYS_ADMIN)";
  long rc = job->netns >= 0 ? syscall(SYS_setns, job->netns, CLONE_NEWNET) : syscall(SYS_unshare, CLONE_NEWNET);
  if (rc == 0) {
    job->step = job->path ? job->path : "a socket";
    job->needs = "";
    rc = job->path ? syscall(SYS_openat, AT_FDCWD, job->path, job->flags | O_CLOEXEC)
                   : syscall(SYS_socket, job->domain, job->type, job->protocol);
    job->fd = (int)rc;
  }
  job->error = rc < 0 ? errno : 0;
  syscall(SYS_exit, 0);
  __builtin_unreachable();
}

/* ---- in the parent ---- */

static int run (child_job *job, int *fd, fc_error *err) {
  job->fd = -1;
  job->error = EIO;
  if (fc_child_run(child_main, job, err) < 0)
    return -1;
  if (job->error)
    return fc_error_system(err, job->error, "cannot %s%s%s", job->needs[0] ? "" : "open ", job->step,
                           job->error == EPERM ? job->needs : "");
  *fd = job->fd;
  return 0;
}

int fc_netns_socket (int netns, int domain, int type, int protocol, int *fd, fc_error *err) {
  child_job job = {.netns = netns, .domain = domain, .type = type, .protocol = protocol};
  return run(&job, fd, err);
}

int fc_netns_open_file (int netns, const char *path, int flags, int *fd, fc_error *err) {
  if (netns < 0) {
    int n = open(path, flags | O_CLOEXEC);
    if (n < 0)
      return fc_error_system(err, errno, "cannot open %s", path);
    *fd = n;
    return 0;
  }
  child_job job = {.netns = netns, .path = path, .flags = flags};
  return run(&job, fd, err);
}

/* ---- names ---- */

/* What is to be done is refused to those without a capability in one of two ways. */
static const char *needs (int error) {
  return error == EPERM || error == EACCES ? " (needs CAP_SYS_ADMIN)" : "";
}

static int path_of (const char *name, char path[PATH_SIZE], fc_error *err) {
  if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return fc_error_set(err, "system", EINVAL, "'%s' cannot name a network namespace", name);
  if (strlen(name) > NAME_MAX)
    return fc_error_system(err, ENAMETOOLONG, "cannot name a network namespace %.40s…", name);
  snprintf(path, PATH_SIZE, DIRECTORY "/%s", name);
  return 0;
}

/* The directory is a shared mount, so that other mount namespaces see names come and go. */
static int prepare_directory (fc_error *err) {
  if (mkdir(DIRECTORY, 0755) == 0)
    chmod(DIRECTORY, 0755);
  else if (errno != EEXIST)
    return fc_error_system(err, errno, "cannot make " DIRECTORY "%s", needs(errno));
  if (mount("", DIRECTORY, "none", MS_SHARED | MS_REC, NULL) == 0)
    return 0;
  if (errno != EINVAL)   /* else it is no mount yet */
    return fc_error_system(err, errno, "cannot share " DIRECTORY "%s", needs(errno));
  int lock = open(DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock >= 0)
    flock(lock, LOCK_EX | LOCK_NB);   /* as ip(8) does; two mounts do no harm, waiting for ever would */
  int rc = mount("", DIRECTORY, "none", MS_SHARED | MS_REC, NULL);
  if (rc < 0)
    rc = mount(DIRECTORY, DIRECTORY, "none", MS_BIND | MS_REC, NULL);
  if (rc == 0)
    rc = mount("", DIRECTORY, "none", MS_SHARED | MS_REC, NULL);
  if (rc < 0)
    fc_error_system(err, errno, "cannot share " DIRECTORY);
  fc_files_close(&lock);
  return rc;
}

int fc_netns_create (const char *name, int *fd, fc_error *err) {
  char path[PATH_SIZE], source[40];
  child_job job = {.netns = -1, .path = "/proc/self/ns/net", .flags = O_RDONLY};
  if (!name)
    return run(&job, fd, err);
  if (path_of(name, path, err) < 0 || prepare_directory(err) < 0)
    return -1;
  int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
  if (file < 0)
    return fc_error_system(err, errno, "cannot make network namespace %s%s", name, needs(errno));
  fc_files_close(&file);
  int made = -1;
  if (run(&job, &made, err) == 0) {
    snprintf(source, sizeof source, "/proc/self/fd/%d", made);
    if (mount(source, path, "none", MS_BIND, NULL) == 0) {
      *fd = made;
      return 0;
    }
    fc_error_system(err, errno, "cannot mount network namespace %s", name);
    fc_files_close(&made);
  }
  unlink(path);
  return -1;
}

int fc_netns_open (const char *name, int *fd, fc_error *err) {
  char named[PATH_SIZE];
  const char *path = name;
  if (!strchr(name, '/')) {
    if (path_of(name, named, err) < 0)
      return -1;
    path = named;
  }
  int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0)
    return fc_error_system(err, errno, "cannot open network namespace %s", name);
  if (ioctl(opened, NS_GET_NSTYPE) != CLONE_NEWNET) {
    fc_files_close(&opened);
    return fc_error_set(err, "system", EINVAL, "%s is no network namespace", path);
  }
  *fd = opened;
  return 0;
}

int fc_netns_delete (const char *name, fc_error *err) {
  char path[PATH_SIZE];
  if (path_of(name, path, err) < 0)
    return -1;
  /* EINVAL: a name that nothing is mounted on */
  if ((umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL) || unlink(path) < 0)
    return fc_error_system(err, errno, "cannot delete network namespace %s%s", name, needs(errno));
  return 0;
}

int fc_netns_list (fc_buffer *names, fc_error *err) {
  DIR *d = opendir(DIRECTORY);
  if (!d && errno == ENOENT)
    return 0;
  if (!d)
    return fc_error_system(err, errno, "cannot list " DIRECTORY);
  int rc = 0;
  for (const struct dirent *entry; rc == 0 && (entry = readdir(d));) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      rc = fc_buffer_append(names, entry->d_name, strlen(entry->d_name) + 1);
  }
  closedir(d);
  return rc < 0 ? fc_error_memory(err) : 0;
}
