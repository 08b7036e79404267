/* tree: a directory whose content somebody else may change meanwhile, a jail. Every path in it is resolved beneath
 * its descriptor and through no symbolic link; what is removed is removed fd-relative. @see openat2(2) */
#ifndef FC_TREE_H
#define FC_TREE_H

#include "buffer.h"
#include "error.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* A descriptor that only names (O_PATH) what is at a path, whatever it is; links are followed. */
int fc_tree_name (const char *path, int *fd, fc_error *err);
/* The same of what is beneath a root; a link is not followed. */
int fc_tree_at (int root, const char *path, int *fd, fc_error *err);
/* What a descriptor names. @see fstat(2) */
int fc_tree_look (int fd, struct stat *st, fc_error *err);
/* Set owner, group and mode of what a descriptor names; -1 leaves one as it is. */
int fc_tree_give (int fd, uid_t uid, gid_t gid, long mode, fc_error *err);

/* Make a directory beneath a root, and the missing ones above it, with exactly this mode. One that exists will do. Unless `uid`
 * is -1, what is made is that user's; so is the directory itself, with this mode, if it exists. */
int fc_tree_mkdir (int root, const char *path, mode_t mode, uid_t uid, gid_t gid, fc_error *err);
/* Make a file, which must not exist, open for writing. */
int fc_tree_create (int root, const char *path, mode_t mode, int *fd, fc_error *err);
/* Make another name of what `source` names. @see linkat(2) */
int fc_tree_link (int root, const char *path, int source, fc_error *err);
/* Make the device that `source` names once more, for a user. EPERM where another file has its name by then. @see mknodat(2) */
int fc_tree_mknod (int root, const char *path, int source, uid_t uid, gid_t gid, mode_t mode, fc_error *err);
/* Mount what `source` names over a file that is there. With `pid`, in that process's mount namespace: ESRCH unless
 * the tree is its root. @see move_mount(2), setns(2) */
int fc_tree_bind (int root, const char *path, int source, bool read_only, pid_t pid, fc_error *err);
/* Read at most `limit` bytes of a regular file that belongs to root and has one name; EPERM for another one. */
int fc_tree_read (int root, const char *path, size_t limit, fc_buffer *out, fc_error *err);

/* Remove what is beneath a root, with all below it and what is mounted there: at most `budget` entries. 1: there is
 * more; 0: it is gone. Directories are taken from their owner before they are read. */
int fc_tree_remove (int root, const char *path, int budget, fc_error *err);
/* Append the names in a root, each with a NUL behind it. */
int fc_tree_list (int root, fc_buffer *out, fc_error *err);

#pragma GCC visibility pop
#endif
