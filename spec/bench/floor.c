/* floor: the smallest supervisor of Firecracker that works, as the measure of what the kernel and the VMM take
 * themselves. No allocation, posix_spawn, inotify for the socket, one kept connection, HTTP by hand. Built with
 * -DWITH_CURL its requests go through one libcurl easy handle instead: what libcurl alone adds.
 * It validates nothing, keeps no log, and exits when anything fails.
 *
 *   floor [-s] [-n]      -s: the VMM's seccomp filters stay on; -n: the VMM gets a session of its own
 * reads commands, one a line, and answers each with one line of names and microseconds:
 *   start                from nothing to a running guest: total, instance_start
 *   restore DIRECTORY    from nothing to a guest of the snapshot there (`state`, `memory`) that runs: total
 *   stop, wait           SIGTERM, or SIGKILL, until the VMM is reaped and its files are gone: total
 *   attach PATH          connect to a VMM that runs
 *   get N                N times GET /: p50, p90, p99, cpu (a request); vm N: PATCH /vm, paused and resumed in turn;
 *                        mmds1 N, mmds50 N: PUT /mmds with a body of 1 and of 50 KiB
 *   many N               N VMs from this one thread: total until all guests run, cpu (a VM)
 *   run                  start, wait for the guest's own end: total
 *   jail                 as start, by the jailer, without a cgroup: kernel and drive are linked into the jail: total
 *   unjail               SIGKILL until the VMM is reaped and its jail is gone: total
 * Environment: FIRECRACKER, KERNEL, DRIVE, WORK (directory of the sockets); JAILER, JAILS (on the file system of kernel and
 * drive) for `jail`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_CURL
#include <curl/curl.h>
#endif

extern char **environ;

enum { RETRY_FIRST_NS = 20000, RETRY_LAST_NS = 1000000, SOCKET_PATIENCE_MS = 5000, MANY_LIMIT = 1000,
       LARGEST = 51200 };   /* bytes of a body that the VMM takes */
enum step { MACHINE, BOOT_SOURCE, DRIVES, VSOCK, INSTANCE_START, LOAD, STEPS };

typedef struct {
  char id[24], socket[108], vsock[108];
  char jail[80];        /* the jail's directory */
  pid_t pid;
  int fd;               /* -1: not connected */
  enum step step;
  bool listening;       /* its socket has appeared */
  char reply[2048];
  size_t length;
} machine;

static const char *binary, *kernel, *drive, *work;
static char snapshot[200];
static bool seccomp;
static posix_spawn_file_actions_t stdio;
static posix_spawnattr_t attributes;
static int watch_fd, serial;

static double now_us (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double cpu_us (void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die (const char *what) {
  perror(what);
  exit(1);
}

/* ---- requests ---- */

static size_t write_request (char *to, size_t size, const char *method, const char *path, const char *body) {
  if (!body)
    return (size_t)snprintf(to, size, "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path);
  return (size_t)snprintf(to, size, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s", method, path, strlen(body), body);
}

static const char *const step_path[STEPS] = {"/machine-config", "/boot-source", "/drives/rootfs", "/vsock", "/actions",
                                              "/snapshot/load"};

static void write_body (char *to, size_t size, const machine *m, enum step step) {
  switch (step) {
    case MACHINE:
      snprintf(to, size, "{\"mem_size_mib\":128,\"vcpu_count\":1}");
      break;
    case BOOT_SOURCE:
      snprintf(to, size, "{\"boot_args\":\"console=ttyS0\",\"kernel_image_path\":\"%s\"}", kernel);
      break;
    case DRIVES:
      snprintf(to, size, "{\"drive_id\":\"rootfs\",\"is_read_only\":false,\"is_root_device\":true,\"path_on_host\":\"%s\"}", drive);
      break;
    case VSOCK:
      snprintf(to, size, "{\"guest_cid\":3,\"uds_path\":\"%s\"}", m->vsock);
      break;
    case LOAD:
      snprintf(to, size, "{\"snapshot_path\":\"%s/state\",\"mem_backend\":{\"backend_type\":\"File\","
               "\"backend_path\":\"%s/memory\"},\"resume_vm\":true}", snapshot, snapshot);
      break;
    default:
      snprintf(to, size, "{\"action_type\":\"InstanceStart\"}");
  }
}

/* Length of the whole reply at the front of the buffer; 0 when there is more to come. */
static size_t reply_length (const machine *m) {
  const char *end = memmem(m->reply, m->length, "\r\n\r\n", 4);
  if (!end)
    return 0;
  int status = atoi(m->reply + 9);
  if (status >= 300) {
    fprintf(stderr, "status %d: %.*s\n", status, (int)m->length, m->reply);
    exit(1);
  }
  const char *field = memmem(m->reply, (size_t)(end - m->reply), "Content-Length: ", 16);
  size_t total = (size_t)(end - m->reply) + 4 + (field && status != 204 ? (size_t)atoi(field + 16) : 0);
  return m->length >= total ? total : 0;
}

static bool read_reply (machine *m) {
  ssize_t n = recv(m->fd, m->reply + m->length, sizeof m->reply - m->length, 0);
  if (n <= 0)
    die("recv");
  m->length += (size_t)n;
  if (reply_length(m) == 0)
    return false;
  m->length = 0;
  return true;
}

static void send_step (machine *m, enum step step) {
  char body[512], text[1024];
  write_body(body, sizeof body, m, step);
  size_t n = write_request(text, sizeof text, "PUT", step_path[step], body);
  if (send(m->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
    die("send");
}

#ifdef WITH_CURL
static CURL *easy;
static struct curl_slist *headers;

static size_t take (char *bytes, size_t size, size_t count, void *data) {
  (void)bytes, (void)data;
  return size * count;
}

static int open_easy (const machine *m) {
  easy = curl_easy_init();
  if (!headers)
    headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
  curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, m->socket);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  return 0;
}

static CURLcode perform (const char *method, const char *path, const char *body) {
  char url[128];
  long status = 0;
  snprintf(url, sizeof url, "http://localhost%s", path);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  if (body)
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
  CURLcode rc = curl_easy_perform(easy);
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (rc != CURLE_COULDNT_CONNECT && (rc != CURLE_OK || status >= 300)) {
    fprintf(stderr, "%s %s: %s, status %ld\n", method, path, curl_easy_strerror(rc), status);
    exit(1);
  }
  return rc;
}

static bool try_step (machine *m, enum step step) {
  char body[512];
  write_body(body, sizeof body, m, step);
  return perform("PUT", step_path[step], body) == CURLE_OK;
}

static bool connect_to (machine *m) {
  return open_easy(m) == 0;   /* the first request connects, and is the one that is tried again */
}

static void ask (machine *m, const char *method, const char *path, const char *body) {
  (void)m;
  if (!body)
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  perform(method, path, body);
}

static void disconnect (machine *m) {
  (void)m;
  curl_easy_cleanup(easy);
  easy = NULL;
}
#else
static bool try_step (machine *m, enum step step) {
  send_step(m, step);
  while (!read_reply(m)) {}
  return true;
}

static bool connect_to (machine *m) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, m->socket, sizeof m->socket);
  m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(m->fd, (void *)&address, sizeof address) == 0)
    return true;
  close(m->fd);
  m->fd = -1;
  return false;
}

static void ask (machine *m, const char *method, const char *path, const char *body) {
  static char text[LARGEST + 1024];
  size_t n = write_request(text, sizeof text, method, path, body);
  if (send(m->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
    die("send");
  while (!read_reply(m)) {}
}

static void disconnect (machine *m) {
  if (m->fd >= 0)
    close(m->fd);
  m->fd = -1;
}
#endif

/* ---- one machine ---- */

static void name_machine (machine *m) {
  *m = (machine){.fd = -1, .pid = -1};
  snprintf(m->id, sizeof m->id, "f%d-%d", (int)getpid(), ++serial);
  snprintf(m->socket, sizeof m->socket, "%s/%s.sock", work, m->id);
  snprintf(m->vsock, sizeof m->vsock, "%s/%s.vsock", work, m->id);
}

static void spawn (machine *m) {
  char *argv[] = {(char *)binary, (char *)"--id", m->id, (char *)"--api-sock", m->socket,
                  seccomp ? NULL : (char *)"--no-seccomp", NULL};
  errno = posix_spawn(&m->pid, binary, &stdio, &attributes, argv, environ);
  if (errno)
    die("posix_spawn");
}

static void (*begin) (machine *m) = spawn;

/* Names that have appeared in the directory, one call of `seen` each. */
static void read_watch (void (*seen) (const char *name, void *data), void *data) {
  char buffer[4096] __attribute__ ((aligned(8)));
  ssize_t n = read(watch_fd, buffer, sizeof buffer);
  for (const char *at = buffer; at < buffer + n;) {
    const struct inotify_event *e = (const void *)at;
    if (e->len)
      seen(e->name, data);
    at += sizeof *e + e->len;
  }
}

static void seen_one (const char *name, void *data) {
  machine *m = data;
  m->listening = m->listening || strcmp(name, strrchr(m->socket, '/') + 1) == 0;
}

static void pause_for (long *ns) {
  nanosleep(&(struct timespec){0, *ns}, NULL);
  *ns = *ns * 2 > RETRY_LAST_NS ? RETRY_LAST_NS : *ns * 2;
}

/* From nothing to the reply of the first request. */
static void bring_up (machine *m, enum step first) {
  begin(m);
  while (!m->listening) {
    struct pollfd p = {watch_fd, POLLIN, 0};
    if (poll(&p, 1, SOCKET_PATIENCE_MS) <= 0)
      die("socket");
    read_watch(seen_one, m);
  }
  long ns = RETRY_FIRST_NS;
  while (!connect_to(m))
    pause_for(&ns);
  while (!try_step(m, first))
    pause_for(&ns);
}

static double start (machine *m) {
  bring_up(m, MACHINE);
  for (enum step step = BOOT_SOURCE; step < INSTANCE_START; step++)
    try_step(m, step);
  double before = now_us();
  try_step(m, INSTANCE_START);
  return now_us() - before;
}

/* ---- a jailed one ---- */

enum { JAIL_USER = 1000 };

static void check (int rc, const char *what) {
  if (rc != 0)
    die(what);
}

static void spawn_jailed (machine *m) {
  const char *jailer = getenv("JAILER"), *jails = getenv("JAILS");
  char path[160];
  char *argv[] = {(char *)jailer, (char *)"--id", m->id, (char *)"--exec-file", (char *)binary, (char *)"--uid", (char *)"1000",
                  (char *)"--gid", (char *)"1000", (char *)"--chroot-base-dir", (char *)jails, (char *)"--",
                  (char *)"--api-sock", (char *)"/run/a.sock", seccomp ? NULL : (char *)"--no-seccomp", NULL};
  snprintf(path, sizeof path, "%s/%s", jails, strrchr(binary, '/') + 1);
  mkdir(path, 0755);
  check(mkdir(m->jail, 0700), m->jail);
  snprintf(path, sizeof path, "%s/root", m->jail);
  check(mkdir(path, 0700), path);
  snprintf(path, sizeof path, "%s/root/kernel", m->jail);
  check(link(kernel, path), path);
  snprintf(path, sizeof path, "%s/root/drive", m->jail);
  check(link(drive, path), path);
  check(chown(path, JAIL_USER, JAIL_USER), path);
  snprintf(path, sizeof path, "%s/root/run", m->jail);
  check(mkdir(path, 0700), path);
  watch_fd = inotify_init1(IN_CLOEXEC);
  if (inotify_add_watch(watch_fd, path, IN_CREATE) < 0)
    die("inotify");
  errno = posix_spawn(&m->pid, jailer, &stdio, NULL, argv, environ);
  check(errno, "posix_spawn");
  kernel = "/kernel";
  drive = "/drive";
}

static void jail (machine *m) {
  const char *host_kernel = kernel, *host_drive = drive;
  int host_watch = watch_fd;
  name_machine(m);
  snprintf(m->jail, sizeof m->jail, "%s/%s/%s", getenv("JAILS"), strrchr(binary, '/') + 1, m->id);
  snprintf(m->socket, sizeof m->socket, "%s/root/run/a.sock", m->jail);
  snprintf(m->vsock, sizeof m->vsock, "/run/v.sock");
  begin = spawn_jailed;
  start(m);
  begin = spawn;
  close(watch_fd);
  kernel = host_kernel;
  drive = host_drive;
  watch_fd = host_watch;
}

static int remove_one (const char *path, const struct stat *st, int kind, struct FTW *at) {
  (void)st, (void)kind, (void)at;
  return remove(path);
}

static void clean_up (machine *m, int signal) {
  if (signal)
    kill(m->pid, signal);
  waitpid(m->pid, NULL, 0);
  disconnect(m);
  unlink(m->socket);
  unlink(m->vsock);
}

/* ---- many ---- */

static machine many[MANY_LIMIT];

static void seen_many (const char *name, void *data) {
  int pid, number, first = *(int *)data;
  char kind[16];
  if (sscanf(name, "f%d-%d.%15s", &pid, &number, kind) == 3 && pid == (int)getpid() && strcmp(kind, "sock") == 0)
    many[number - first].listening = true;
}

static void start_many (int n) {
  int epoll_fd = epoll_create1(EPOLL_CLOEXEC), first = serial + 1, running = 0, connected = 0;
  struct epoll_event e = {EPOLLIN, {.u32 = MANY_LIMIT}};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watch_fd, &e);
  double began = now_us(), cpu = cpu_us();
  for (int i = 0; i < n; i++) {
    name_machine(&many[i]);
    spawn(&many[i]);
  }
  long ns = RETRY_FIRST_NS;
  while (running < n) {
    struct epoll_event batch[64];
    bool refused = false;
    for (int i = 0; i < n && connected < n; i++) {
      machine *m = &many[i];
      if (!m->listening || m->fd >= 0)
        continue;
      if (!connect_to(m)) {
        refused = true;
        continue;
      }
      connected++;
      e.data.u32 = (uint32_t)i;
      epoll_ctl(epoll_fd, EPOLL_CTL_ADD, m->fd, &e);
      send_step(m, m->step = MACHINE);
    }
    struct timespec timeout = {refused ? 0 : SOCKET_PATIENCE_MS / 1000, refused ? ns : 0};
    ns = refused ? (ns * 2 > RETRY_LAST_NS ? RETRY_LAST_NS : ns * 2) : RETRY_FIRST_NS;
    int count = epoll_pwait2(epoll_fd, batch, 64, &timeout, NULL);
    if (count == 0 && !refused)
      die("many");
    for (int i = 0; i < count; i++) {
      machine *m = &many[batch[i].data.u32];
      if (batch[i].data.u32 == MANY_LIMIT)
        read_watch(seen_many, &first);
      else if (!read_reply(m))
        continue;
      else if (m->step == INSTANCE_START)
        running++;
      else
        send_step(m, ++m->step);
    }
  }
  printf("total %.1f cpu %.2f\n", now_us() - began, (cpu_us() - cpu) / n);
  close(epoll_fd);
  for (int i = 0; i < n; i++)
    kill(many[i].pid, SIGKILL);
  for (int i = 0; i < n; i++)
    clean_up(&many[i], 0);
}

/* ---- commands ---- */

static int compare (const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* What is asked for N times: with these two bodies in turn, or with one of so many bytes. */
static const struct asked {
  const char *command, *method, *path, *bodies[2];
  int size;
} asked[] = {{"get", "GET", "/", {0}, 0},
             {"vm", "PATCH", "/vm", {"{\"state\":\"Paused\"}", "{\"state\":\"Resumed\"}"}, 0},
             {"mmds1", "PUT", "/mmds", {0}, 1024},
             {"mmds50", "PUT", "/mmds", {0}, LARGEST},
             {0}};

static const struct asked *find_asked (const char *command) {
  const struct asked *what = asked;
  while (what->command && strcmp(what->command, command) != 0)
    what++;
  return what->command ? what : NULL;
}

static void ask_many (machine *m, const struct asked *what, int n) {
  static double took[100000];
  static char text[LARGEST + 1];
  n = n > 100000 ? 100000 : n;
  if (what->size > 0) {
    memset(text, 'x', sizeof text);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + what->size - 2, "\"}", 3);
  }
  double cpu = cpu_us();
  for (int i = 0; i < n; i++) {
    double before = now_us();
    ask(m, what->method, what->path, what->size > 0 ? text : what->bodies[i % 2]);
    took[i] = now_us() - before;
  }
  cpu = (cpu_us() - cpu) / n;
  qsort(took, (size_t)n, sizeof *took, compare);
  printf("p50 %.2f p90 %.2f p99 %.2f cpu %.3f\n", took[n / 2], took[n * 9 / 10], took[n * 99 / 100], cpu);
}

static void obey (machine *m, const char *command, const char *argument) {
  double before = now_us();
  if (strcmp(command, "start") == 0) {
    name_machine(m);
    double instance_start = start(m);
    printf("total %.1f instance_start %.1f\n", now_us() - before, instance_start);
  } else if (strcmp(command, "restore") == 0) {
    snprintf(snapshot, sizeof snapshot, "%s", argument);
    name_machine(m);
    bring_up(m, LOAD);
    printf("total %.1f\n", now_us() - before);
  } else if (strcmp(command, "stop") == 0 || strcmp(command, "wait") == 0) {
    clean_up(m, command[0] == 's' ? SIGTERM : SIGKILL);
    printf("total %.1f\n", now_us() - before);
  } else if (strcmp(command, "attach") == 0) {
    name_machine(m);
    snprintf(m->socket, sizeof m->socket, "%s", argument);
    if (!connect_to(m))
      die(argument);
    printf("total 0\n");
  } else if (find_asked(command)) {
    ask_many(m, find_asked(command), atoi(argument));
  } else if (strcmp(command, "many") == 0) {
    start_many(atoi(argument));
  } else if (strcmp(command, "jail") == 0) {
    jail(m);
    printf("total %.1f\n", now_us() - before);
  } else if (strcmp(command, "unjail") == 0) {
    kill(m->pid, SIGKILL);
    waitpid(m->pid, NULL, 0);
    disconnect(m);
    check(nftw(m->jail, remove_one, 16, FTW_DEPTH | FTW_PHYS), m->jail);
    printf("total %.1f\n", now_us() - before);
  } else if (strcmp(command, "run") == 0) {
    name_machine(m);
    start(m);
    clean_up(m, 0);
    printf("total %.1f\n", now_us() - before);
  } else {
    errno = EINVAL;
    die(command);
  }
}

static const char *need (const char *name) {
  const char *value = getenv(name);
  if (!value) {
    fprintf(stderr, "floor: %s is not set\n", name);
    exit(2);
  }
  return value;
}

int main (int argc, char **argv) {
  static machine m;
  char line[256], command[16], argument[200];
  posix_spawnattr_init(&attributes);
  for (int i = 1; i < argc; i++) {
    seccomp = seccomp || strcmp(argv[i], "-s") == 0;
    if (strcmp(argv[i], "-n") == 0)
      posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  }
  binary = need("FIRECRACKER"), kernel = need("KERNEL"), drive = need("DRIVE"), work = need("WORK");
  posix_spawn_file_actions_init(&stdio);
  posix_spawn_file_actions_addopen(&stdio, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&stdio, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&stdio, 1, 2);
  watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (inotify_add_watch(watch_fd, work, IN_CREATE) < 0)
    die(work);
  while (fgets(line, sizeof line, stdin)) {
    argument[0] = '\0';
    if (sscanf(line, "%15s %199s", command, argument) < 1)
      continue;
    obey(&m, command, argument);
    fflush(stdout);
  }
  return 0;
}
