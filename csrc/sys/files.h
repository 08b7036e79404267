/* files: the few operations on the file system that Lua's own library lacks. Errors name the path.
 * No function follows a symbolic link at the last component unless it says so. */
#ifndef FC_FILES_H
#define FC_FILES_H

#include "buffer.h"
#include "error.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#pragma GCC visibility push(hidden)

/* Make a directory with exactly this mode, whatever the umask. EEXIST is an error. @see mkdir(2) */
int fc_files_mkdir (const char *path, mode_t mode, fc_error *err);
/* Make a directory and the missing ones above it; one that exists must be a directory of ours that
 * nobody else can write to. @see mkdir(2) */
int fc_files_mkdir_private (const char *path, fc_error *err);
/* Make a FIFO. EEXIST is an error. @see mkfifo(3) */
int fc_files_mkfifo (const char *path, mode_t mode, fc_error *err);
/* Make an empty file; one that exists is an error. Returns a closed file. */
int fc_files_create (const char *path, mode_t mode, fc_error *err);
/* Open, close-on-exec, never as controlling terminal; follows links unless O_NOFOLLOW. Waits for no peer: a
 * FIFO without a reader cannot be opened for writing (ENXIO). @see open(2) */
int fc_files_open (const char *path, int flags, mode_t mode, int *fd, fc_error *err);
/* Lock a file, which is made where missing, as long as the descriptor is open; the file may be replaced under its name
 * by whoever has the lock. 1, or 0 when somebody else has it. @see flock(2) */
int fc_files_lock (const char *path, int *fd, fc_error *err);
/* Close what is open; *fd is -1 afterwards. */
static inline void fc_files_close (int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}
/* Remove a name that is no directory; one that is gone is no error. @see unlink(2) */
int fc_files_unlink (const char *path, fc_error *err);
/* Remove a directory of plain entries (files, sockets, FIFOs, links) by its descriptor; deeper trees are
 * refused (ENOTEMPTY). A directory that is gone is no error. @see unlinkat(2) */
int fc_files_remove_directory (const char *path, fc_error *err);
/* Have a file's or a directory's content written to the disk. @see fsync(2) */
int fc_files_sync (const char *path, fc_error *err);
/* Append the names in a directory, in no order, each with a "/" after it. @see readdir(3) */
int fc_files_list (const char *path, fc_buffer *out, fc_error *err);
/* Append at most the last `limit` bytes of a regular file. */
int fc_files_tail (const char *path, size_t limit, fc_buffer *out, fc_error *err);
/* An absolute form of a path: the working directory is put before a relative one, "." and empty parts go;
 * ".." stays, as a link may stand before it. Appended to out. */
int fc_files_absolute (const char *path, fc_buffer *out, fc_error *err);
/* The path without links and "..", appended to out. @see realpath(3) */
int fc_files_canonical (const char *path, fc_buffer *out, fc_error *err);
/* @see symlink(2) */
int fc_files_symlink (const char *target, const char *path, fc_error *err);
/* What is at a path; of a link, itself or what it leads to. @see stat(2) */
int fc_files_look (const char *path, bool follow, struct stat *st, fc_error *err);
/* Whether this process may use it: mode as R_OK|W_OK|X_OK, with the effective ids; follows links.
 * @see faccessat(2) */
int fc_files_access (const char *path, int mode, fc_error *err);
/* @see geteuid(2) */
uid_t fc_files_euid (void);
/* Fill with random bytes. @see getrandom(2) */
int fc_files_random (void *bytes, size_t n, fc_error *err);
/* A pseudo-terminal in raw mode; both ends are close-on-exec. @see pty(7) */
int fc_files_open_pty (int *master, int *slave, fc_error *err);
/* A descriptor of its own for what descriptor `fd` shows, so that flags set on one do not show on the
 * other; where that cannot be had (a socket), a duplicate. */
int fc_files_reopen (int fd, int *out, fc_error *err);

#pragma GCC visibility pop
#endif
