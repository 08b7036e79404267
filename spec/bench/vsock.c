/* vsock: a VMM's vsock socket that answers at once, and the smallest client of one.
 *   vsock serve PATH   port 1: "HELLO-GUEST" behind OK, in one write; port 2: BYTES as fast as they go; port 3: takes BYTES
 *                      and says so by one more. The last two in a process of their own. Ends with its standard input
 *   vsock              a worker that obeys, line by line: dial N, receive, send; keep: receive, each read's bytes copied into
 *                      memory of their own, as whatever makes a string of them does. Environment: VSOCK, the path
 * Nothing is checked. */
#define _GNU_SOURCE
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, BYTES = 64 * 1024 * 1024 };

static char block[BLOCK];

static double now_us (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die (const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_un address_of (const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  return address;
}

static void give (int fd) {
  for (size_t left = BYTES; left > 0;) {
    ssize_t n = write(fd, block, left < BLOCK ? left : BLOCK);
    if (n <= 0)
      return;
    left -= (size_t)n;
  }
}

/* The last few live, as with a collector of garbage; what was freed stays for the next ones. */
static void keep_block (size_t n) {
  static char *kept[8];
  static unsigned turn;
  if (turn == 0) {
    mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
  }
  char **at = &kept[turn++ % 8];
  free(*at);
  *at = malloc(n);
  if (!*at)
    die("malloc");
  memcpy(*at, block, n);
}

static void take (int fd, bool keep) {
  for (size_t left = BYTES; left > 0;) {
    ssize_t n = read(fd, block, left < BLOCK ? left : BLOCK);
    if (n <= 0)
      return;
    if (keep)
      keep_block((size_t)n);
    left -= (size_t)n;
  }
}

static void answer (int fd) {
  static const char hello[] = "OK 1073741824\nHELLO-GUEST";
  char line[64] = "";
  int port = 0;
  if (read(fd, line, sizeof line - 1) <= 0 || sscanf(line, "CONNECT %d", &port) != 1)
    return;
  if (write(fd, hello, port == 1 ? sizeof hello - 1 : 14) < 0 || port == 1 || fork() != 0)
    return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (port == 2)
    give(fd);
  else
    take(fd, false);
  _exit(write(fd, "!", 1) != 1);
}

static int serve (const char *path) {
  struct sockaddr_un address = address_of(path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  unlink(path);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0)
    die(path);
  signal(SIGCHLD, SIG_IGN);
  struct pollfd wait[] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  while (poll(wait, 2, -1) > 0 && !wait[1].revents) {
    int fd = accept(listener, NULL, NULL);
    answer(fd);
    close(fd);
  }
  return unlink(path);
}

static int dial (int port) {
  static struct sockaddr_un address;
  char line[32];
  int n = snprintf(line, sizeof line, "CONNECT %d\n", port), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (!address.sun_family)
    address = address_of(getenv("VSOCK"));
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || write(fd, line, (size_t)n) != n)
    die("dial");
  for (n = 0; n == 0 || line[n - 1] != '\n'; n++)   /* byte by byte loses nothing */
    if (read(fd, line + n, 1) != 1)
      die("OK");
  return fd;
}

static int compare (const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void dial_many (int n) {
  static double took[10000];
  n = n > 10000 ? 10000 : n;
  for (int i = 0; i < n; i++) {
    double before = now_us();
    int fd = dial(1);
    took[i] = now_us() - before;
    close(fd);
  }
  qsort(took, (size_t)n, sizeof *took, compare);
  printf("p50 %.2f p90 %.2f\n", took[n / 2], took[n * 9 / 10]);
}

int main (int argc, char **argv) {
  char line[64], command[16];
  int n = 0;
  if (argc > 2)
    return serve(argv[2]);
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "%15s %d", command, &n) < 1)
      continue;
    if (strcmp(command, "dial") == 0) {
      dial_many(n);
    } else {
      bool sends = strcmp(command, "send") == 0;
      int fd = dial(sends ? 3 : 2);
      double before = now_us();
      if (sends)
        give(fd);
      else
        take(fd, strcmp(command, "keep") == 0);
      if (read(fd, command, 1) != 1)
        die("end");
      printf("mb %.0f\n", BYTES / (now_us() - before));
      close(fd);
    }
    fflush(stdout);
  }
  return 0;
}
