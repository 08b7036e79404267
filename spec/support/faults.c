/* faults: for specs: a function runs in a Lua state of its own while one allocation, or one request to the kernel
 * for a descriptor or memory, fails; each wait for a child is interrupted by a signal. The import tables of the objects
 * under test are pointed here, so what is tested is what ships; cJSON's allocations count too. libcurl 7.88 crashes by
 * itself when its memory runs out. */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const objects[] = {"/firecracker/core.so", "/firecracker/core/http.so", "/firecracker/core/net.so",
                                      "/libcjson.so"};

enum kind { NOTHING, C, LUA, KERNEL, REQUEST, SILENCE, CHANGE, OVERRUN, OLD };
static const char *const kinds[] = {"nothing", "c", "lua", "kernel", "request", "silence", "change", "overrun", "old", NULL};

static enum kind armed;
static long target, seen, blocks, bytes;   /* which call fails; calls so far; what is allocated now, in C and in Lua */

static bool fails (enum kind kind, int error) {
  if (kind != armed || ++seen != target)
    return false;
  errno = error;
  return true;
}

/* ---- memory ---- */

static void *counted (void *block) {
  blocks += block != NULL;
  return block;
}

static void *faulty_malloc (size_t size) {
  return fails(C, ENOMEM) ? NULL : counted(malloc(size));
}

static void *faulty_calloc (size_t n, size_t size) {
  return fails(C, ENOMEM) ? NULL : counted(calloc(n, size));
}

static void *faulty_realloc (void *old, size_t size) {
  if (fails(C, ENOMEM))
    return NULL;
  return old ? realloc(old, size) : counted(malloc(size));
}

static char *faulty_strdup (const char *text) {
  return fails(C, ENOMEM) ? NULL : counted(strdup(text));
}

static DIR *faulty_fdopendir (int fd) {
  return fails(C, ENOMEM) ? NULL : fdopendir(fd);
}

static void faulty_free (void *block) {
  blocks -= block != NULL;
  free(block);
}

/* Lua asks again after a collection: both fail. @see lua_Alloc */
static void *lua_alloc (void *data, void *block, size_t old, size_t size) {
  static size_t refused;
  (void)data;
  old = block ? old : 0;
  if (size > old && armed == LUA && (refused == size || fails(LUA, ENOMEM))) {
    refused = refused == size ? 0 : size;
    return NULL;
  }
  if (size == 0) {
    free(block);
    bytes -= (long)old;
    return NULL;
  }
  void *now = realloc(block, size);
  bytes += now ? (long)size - (long)old : 0;
  return now;
}

/* ---- the kernel ---- */

static int faulty_epoll_create1 (int flags) {
  return fails(KERNEL, EMFILE) ? -1 : epoll_create1(flags);
}

static int faulty_epoll_ctl (int epoll, int what, int fd, struct epoll_event *e) {
  return what != EPOLL_CTL_DEL && fails(KERNEL, ENOSPC) ? -1 : epoll_ctl(epoll, what, fd, e);
}

static int faulty_timerfd_create (int clock, int flags) {
  return fails(KERNEL, EMFILE) ? -1 : timerfd_create(clock, flags);
}

static int faulty_inotify_init1 (int flags) {
  return fails(KERNEL, EMFILE) ? -1 : inotify_init1(flags);
}

static int faulty_inotify_add_watch (int fd, const char *path, uint32_t mask) {
  return fails(KERNEL, ENOSPC) ? -1 : inotify_add_watch(fd, path, mask);
}

static int faulty_signalfd (int fd, const sigset_t *set, int flags) {
  return fails(KERNEL, EMFILE) ? -1 : signalfd(fd, set, flags);
}

static int faulty_socket (int domain, int type, int protocol) {
  return fails(KERNEL, EMFILE) ? -1 : socket(domain, type, protocol);
}

/* Every wait for a child is interrupted once. */
static int faulty_waitid (idtype_t type, id_t id, siginfo_t *info, int flags) {
  static bool interrupted;
  interrupted = !interrupted && !(flags & WNOHANG);
  errno = EINTR;
  return interrupted ? -1 : waitid(type, id, info, flags);
}

static int faulty_openat (int directory, const char *path, int flags, mode_t mode) {
  return fails(KERNEL, EMFILE) ? -1 : openat(directory, path, flags, mode);
}

static int faulty_open (const char *path, int flags, mode_t mode) {
  return fails(KERNEL, EMFILE) ? -1 : open(path, flags, mode);
}

static int faulty_fcntl (int fd, int what, long argument) {
  return what == F_DUPFD_CLOEXEC && fails(KERNEL, EMFILE) ? -1 : fcntl(fd, what, argument);
}

static int faulty_sync_file_range (int fd, off_t at, off_t n, unsigned flags) {
  return fails(KERNEL, EIO) ? -1 : sync_file_range(fd, at, n, flags);
}

static void *faulty_mmap (void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  return fails(KERNEL, ENOMEM) ? MAP_FAILED : mmap(at, size, protection, flags, fd, offset);
}

static int faulty_clone (int (*fn) (void *), void *stack, int flags, void *argument, pid_t *pidfd) {
  return fails(KERNEL, EAGAIN) ? -1 : clone(fn, stack, flags, argument, pidfd);
}

/* Requests that configure the network: netlink messages, ioctls of taps, mounts of namespaces. */
static ssize_t faulty_sendto (int fd, const void *message, size_t size, int flags, const struct sockaddr *to,
                              socklen_t length) {
  if (fails(SILENCE, 0))
    return (ssize_t)size;
  return fails(REQUEST, ENOMEM) ? -1 : sendto(fd, message, size, flags, to, length);
}

/* CHANGE: the kernel's list changed while it was dumped. OVERRUN: a datagram is lost. */
static ssize_t faulty_recvfrom (int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
  ssize_t n = recvfrom(fd, to, size, flags, from, length);
  if (n >= (ssize_t)sizeof (struct nlmsghdr) && fails(CHANGE, 0))
    ((struct nlmsghdr *)to)->nlmsg_flags |= NLM_F_DUMP_INTR;
  return n > 0 && fails(OVERRUN, ENOBUFS) ? -1 : n;
}

static int faulty_ioctl (int fd, unsigned long what, void *argument) {
  bool tap = _IOC_TYPE(what) == 'T' && _IOC_NR(what) >= 200;
  return tap && fails(REQUEST, ENOMEM) ? -1 : ioctl(fd, what, argument);
}

static int faulty_mount (const char *from, const char *to, const char *type, unsigned long flags, const void *data) {
  return fails(REQUEST, ENOMEM) ? -1 : mount(from, to, type, flags, data);
}

/* OLD: the kernel is one before 5.11, at every call. */
static long faulty_syscall (long number, long a, long b, long c, long d, long e, long f) {
  if (armed == OLD && number == SYS_close_range) {
    errno = EINVAL;
    return -1;
  }
  if (number == SYS_getdents64 && fails(KERNEL, ENOMEM))
    return -1;
  return syscall(number, a, b, c, d, e, f);
}

/* ---- import tables ---- */

#define REPLACED(name) {#name, (uintptr_t)faulty_##name}
static const struct { const char *name; uintptr_t address; } replaced[] = {
    REPLACED(malloc),        REPLACED(calloc),       REPLACED(realloc),        REPLACED(strdup),
    REPLACED(free),          REPLACED(epoll_create1), REPLACED(epoll_ctl),     REPLACED(timerfd_create),
    REPLACED(inotify_init1), REPLACED(inotify_add_watch), REPLACED(signalfd),  REPLACED(socket),
    REPLACED(open),          REPLACED(fcntl),        REPLACED(mmap),           REPLACED(clone),
    REPLACED(fdopendir),     REPLACED(sendto),       REPLACED(ioctl),          REPLACED(mount),
    REPLACED(recvfrom),      REPLACED(openat),       REPLACED(waitid),         REPLACED(syscall),
    REPLACED(sync_file_range)};

static void redirect (const ElfW(Rela) *from, size_t size, ElfW(Addr) base, const ElfW(Sym) *symbols, const char *names) {
  for (const ElfW(Rela) *r = from; (const char *)r < (const char *)from + size; r++) {
    size_t symbol = ELF64_R_SYM(r->r_info);
    for (size_t i = 0; symbol && i < sizeof replaced / sizeof *replaced; i++) {
      if (strcmp(names + symbols[symbol].st_name, replaced[i].name) != 0)
        continue;
      uintptr_t *slot = (uintptr_t *)(base + r->r_offset);   /* NOLINT(performance-no-int-to-ptr) */
      uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
      mprotect((void *)((uintptr_t)slot & -page), page, PROT_READ | PROT_WRITE);   /* NOLINT(performance-no-int-to-ptr) */
      *slot = replaced[i].address;
    }
  }
}

static int redirect_object (struct dl_phdr_info *object, size_t size, void *found) {
  bool chosen = false;
  (void)size;
  for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
    chosen = chosen || strstr(object->dlpi_name, objects[i]);
  for (int i = 0; chosen && i < object->dlpi_phnum; i++) {
    if (object->dlpi_phdr[i].p_type != PT_DYNAMIC)
      continue;
    ElfW(Addr) base = object->dlpi_addr, value[DT_JMPREL + 1] = {0};
    for (const ElfW(Dyn) *d = (void *)(base + object->dlpi_phdr[i].p_vaddr); d->d_tag != DT_NULL; d++)   /* NOLINT */
      if (d->d_tag >= 0 && d->d_tag <= DT_JMPREL)
        value[d->d_tag] = d->d_un.d_val;
    const ElfW(Sym) *symbols = (void *)value[DT_SYMTAB];   /* NOLINT */
    const char *names = (void *)value[DT_STRTAB];          /* NOLINT */
    redirect((void *)value[DT_RELA], value[DT_RELASZ], base, symbols, names);       /* NOLINT */
    redirect((void *)value[DT_JMPREL], value[DT_PLTRELSZ], base, symbols, names);   /* NOLINT */
    ++*(int *)found;
  }
  return 0;
}

/* install (): redirect the objects under test, all of which must be loaded. */
static int install (lua_State *L) {
  int found = 0;
  dl_iterate_phdr(redirect_object, &found);
  if (found != sizeof objects / sizeof *objects)
    return luaL_error(L, "%d of the objects under test are loaded", found);
  return 0;
}

/* ---- states ---- */

static void set_path (lua_State *L, lua_State *from, const char *field) {
  lua_getglobal(from, "package");
  lua_getfield(from, -1, field);
  lua_getglobal(L, "package");
  lua_pushstring(L, lua_tostring(from, -1));
  lua_setfield(L, -2, field);
  lua_pop(from, 2);
  lua_pop(L, 1);
}

/* Push on `to` what was raised on L: "code: message" of an error object. */
static void push_error (lua_State *to, lua_State *L) {
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "message");
    lua_getfield(L, -2, "code");
    lua_pushfstring(to, "%s: %s", lua_tostring(L, -1), lua_tostring(L, -2));
  } else {
    lua_pushstring(to, luaL_tolstring(L, -1, NULL));
  }
}

/* run (kind, n, chunk [, argument]) -> how the first call ended, and the second; whether anything failed; C blocks and Lua bytes lost
 * The chunk gets the argument, a string, and returns a function, which is called while call n of the kind fails, and again while none does: true, or
 * what was raised. */
static int run (lua_State *from) {
  enum kind kind = (enum kind)luaL_checkoption(from, 1, NULL, kinds);
  long n = (long)luaL_checkinteger(from, 2);
  size_t length;
  const char *chunk = luaL_checklstring(from, 3, &length);
  long blocks_before = blocks, bytes_before = bytes;
  lua_gc(from, LUA_GCSTOP);   /* what its garbage lets go is not counted */
  lua_State *L = lua_newstate(lua_alloc, NULL);
  luaL_openlibs(L);
  set_path(L, from, "path");
  set_path(L, from, "cpath");
  lua_gc(L, LUA_GCSTOP);   /* the same calls every time */
  luaL_loadbuffer(L, chunk, length, "=chunk");   /* one of string.dump's is right */
  lua_pushstring(L, lua_tostring(from, 4));
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    push_error(from, L);
    lua_close(L);
    lua_gc(from, LUA_GCRESTART);
    return lua_error(from);
  }
  luaL_checkstack(L, 20, NULL);
  bool fired = false;
  for (int round = 1; round <= 2; round++) {
    lua_pushvalue(L, 1);
    armed = round == 1 ? kind : NOTHING;
    seen = 0;
    target = n;
    int result = lua_pcall(L, 0, 0, 0);
    fired = fired || (armed != NOTHING && seen >= target);
    armed = NOTHING;
    if (result == LUA_OK)
      lua_pushboolean(from, 1);
    else
      push_error(from, L);
    lua_settop(L, 1);
    lua_gc(L, LUA_GCCOLLECT);
    lua_gc(L, LUA_GCCOLLECT);   /* what finalizers let go */
  }
  lua_close(L);
  lua_pushboolean(from, fired);
  lua_pushinteger(from, blocks - blocks_before);
  lua_pushinteger(from, bytes - bytes_before);
  lua_gc(from, LUA_GCRESTART);
  return 5;
}

/* arm (kind, n): from now on call n of this kind fails in this very state; "nothing" ends it. "request": to configure the
 * network; "silence": such a one is not sent; "change", "overrun": of what comes back; "old": without close_range's flag.
 * Returns how many calls of the kind there were that was armed before. */
static int arm (lua_State *L) {
  lua_pushinteger(L, seen);
  armed = (enum kind)luaL_checkoption(L, 1, NULL, kinds);
  target = (long)luaL_optinteger(L, 2, 0);
  seen = 0;
  return 1;
}

LUAMOD_API int luaopen_spec_support_faults (lua_State *L) {
  static const luaL_Reg functions[] = {{"install", install}, {"run", run}, {"arm", arm}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
