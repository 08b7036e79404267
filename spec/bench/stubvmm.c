/* stubvmm: stands in for Firecracker and answers every request at once (204, or 200 with a small body for GET), so that
 * what is measured against it is the supervisor alone: no KVM, no memory to set up. Takes Firecracker's own options and
 * heeds --api-sock, --id and --version. With `--die socket` it ends before it makes its socket, with `--die request`
 * when the first request comes, and says on standard error when: "died at MICROSECONDS" of CLOCK_MONOTONIC. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *dies;   /* when it is to end */

static const char *option (int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i++)
    if (strcmp(argv[i], name) == 0)
      return argv[i + 1];
  return otherwise;
}

static void die_at (const char *stage) {
  struct timespec t;
  if (strcmp(dies, stage) != 0)
    return;
  clock_gettime(CLOCK_MONOTONIC, &t);
  fprintf(stderr, "died at %.1f\n", (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3);
  _exit(1);
}

static void answer (int fd, const char *request, const char *id) {
  char text[512], body[256];
  int n;
  die_at("request");
  if (strncmp(request, "GET", 3) == 0) {
    int length = snprintf(body, sizeof body, "{\"id\":\"%.100s\",\"state\":\"Running\",\"vmm_version\":\"1.12.1\","
                          "\"app_name\":\"Firecracker\"}", id);
    n = snprintf(text, sizeof text, "HTTP/1.1 200 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
                 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body);
  } else {
    n = snprintf(text, sizeof text, "HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n");
  }
  if (write(fd, text, (size_t)n) != n)
    exit(1);
}

/* Answer whole requests until the peer hangs up. */
static void serve (int fd, const char *id) {
  static char buffer[65536];
  size_t have = 0;
  for (ssize_t got; (got = read(fd, buffer + have, sizeof buffer - 1 - have)) > 0;) {
    have += (size_t)got;
    buffer[have] = '\0';
    for (char *end; (end = strstr(buffer, "\r\n\r\n"));) {
      const char *field = strcasestr(buffer, "content-length:");
      size_t length = (size_t)(end - buffer) + 4 + (field && field < end ? (size_t)atoi(field + 15) : 0);
      if (have < length)
        break;
      answer(fd, buffer, id);
      memmove(buffer, buffer + length, have - length + 1);
      have -= length;
    }
  }
  close(fd);
}

int main (int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--version") == 0)
    return puts("Firecracker v1.12.1") < 0;
  dies = option(argc, argv, "--die", "");
  die_at("socket");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", option(argc, argv, "--api-sock", ""));
  const char *id = option(argc, argv, "--id", "stub");
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 64) < 0)
    return 1;
  for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
    serve(fd, id);
  return 0;
}
