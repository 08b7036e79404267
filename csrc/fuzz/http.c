/* http: whatever bytes a server sends, in whatever pieces, a request has one outcome, in time, and its handle works
 * again; nothing is left open. Input: pieces of a reply, each a length byte and so many bytes; the server hangs up
 * behind the last, or, when it is of odd length, only once the request is cancelled. */
#include "fuzz.h"
#include "sys/clock.h"
#include "sys/http.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static fc_reactor reactor;
static fc_http_engine engine;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener, first_free;

static char directory[64];

static void leave (void) {
  unlink(address.sun_path);
  rmdir(directory);
}

static void step (double seconds) {
  fc_error err;
  FUZZ_CHECK(fc_reactor_step(&reactor, fc_now() + seconds, &err) >= 0);
}

static int free_descriptor (void) {
  int fd = dup(listener);
  close(fd);
  return fd;
}

/* What is open, told of when it is not what it was. */
static void show_descriptors (void) {
  for (int fd = 0; fd < 64; fd++) {
    char path[32], target[128];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target);
    if (n > 0)
      fprintf(stderr, "%d -> %.*s\n", fd, (int)n, target);
  }
}

static void open_all (void) {
  fc_error err;
  const char *parent = getenv("TMPDIR");
  /* a name of our own: a run that was aborted may have left its socket */
  snprintf(directory, sizeof directory, "%s/fc-fuzz.XXXXXX", parent ? parent : "/tmp");
  FUZZ_CHECK(mkdtemp(directory) != NULL);
  snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  FUZZ_CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0);
  atexit(leave);
  FUZZ_CHECK(fc_reactor_open(&reactor, &err) == 0 && fc_http_engine_open(&engine, &reactor, &err) == 0);
}

static int accept_one (fc_http_request *q) {
  int fd;
  for (double end = fc_now() + 5; (fd = accept(listener, NULL, NULL)) < 0;) {
    FUZZ_CHECK(q->state == FC_HTTP_RUNNING && fc_now() < end);
    step(0.001);
  }
  return fd;
}

static void say (int fd, const void *bytes, size_t n) {
  send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  step(0);
}

static void ask_again (fc_http_request *q) {
  static const char reply[] = "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok";
  fc_error err;
  FUZZ_CHECK(fc_http_request_start(q, "GET", "/again", NULL, &err) == 0);
  int fd = accept_one(q);
  say(fd, reply, sizeof reply - 1);
  for (double end = fc_now() + 5; q->state == FC_HTTP_RUNNING;) {
    FUZZ_CHECK(fc_now() < end);
    step(0.1);
  }
  FUZZ_CHECK(fc_http_request_result(q, &err) == 0 && q->status == 200 && q->reply.length == 2);
  close(fd);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  static fc_buffer body;
  fc_http_client client;
  fc_http_request q;
  fc_error err;
  if (!engine.reactor)
    open_all();
  FUZZ_CHECK(fc_http_client_open(&client, &engine, address.sun_path, 1 << 20, &err) == 0);
  FUZZ_CHECK(fc_http_request_open(&q, &client, &err) == 0);
  FUZZ_CHECK(fc_buffer_append(&body, "{}", 2) == 0 && fc_http_request_start(&q, "PUT", "/a", &body, &err) == 0);
  int fd = accept_one(&q);
  for (size_t at = 0; at < size && q.state == FC_HTTP_RUNNING;) {
    size_t length = data[at++], n = length < size - at ? length : size - at;
    say(fd, data + at, n);
    at += n;
  }
  if (size % 2 == 0) {
    close(fd);
    for (double end = fc_now() + 5; q.state == FC_HTTP_RUNNING;) {
      FUZZ_CHECK(fc_now() < end);
      step(0.1);
    }
  }
  if (q.state == FC_HTTP_DONE) {
    int fired = 0;
    for (int64_t key; (key = fc_reactor_fired(&reactor));)
      fired += key == q.wake.key;
    FUZZ_CHECK(fired == 1);
    if (fc_http_request_result(&q, &err) == 0)
      FUZZ_CHECK(q.status >= 100 && q.status <= 999);
    else
      FUZZ_CHECK(strcmp(err.code, "http") == 0 && err.message[0] != '\0');
  } else {
    fc_http_request_cancel(&q);
  }
  if (size % 2 == 1)
    close(fd);
  fc_http_client_close(&client);   /* its connection, were it left open, would not be asked again */
  fc_http_request_close(&q);
  FUZZ_CHECK(fc_http_client_open(&client, &engine, address.sun_path, 1 << 20, &err) == 0);
  FUZZ_CHECK(fc_http_request_open(&q, &client, &err) == 0);
  ask_again(&q);
  fc_http_client_close(&client);
  while (fc_reactor_fired(&reactor)) {}
  if (!first_free)   /* after what libcurl makes once */
    first_free = free_descriptor();
  int now_free = free_descriptor();
  if (now_free != first_free)
    show_descriptors();
  FUZZ_CHECK(now_free == first_free);
  return 0;
}
