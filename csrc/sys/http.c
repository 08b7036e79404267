/* http: see http.h.
 *
 * libcurl tells which descriptors it wants watched (socket_changed) and when it wants to be called
 * (timer_changed); the reactor calls back (socket_ready, timer_fired). Callbacks of libcurl never call
 * libcurl. A descriptor stays registered from its first use until libcurl closes it. */
#define _GNU_SOURCE
#include "http.h"
#include "clock.h"
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of a body shorter than EXPECT_LENGTH libcurl sends no "Expect:". */
enum { REPLY_LIMIT = 64 * 1024 * 1024, URL_LIMIT = 2048, EXPECT_LENGTH = 1024 };

static char expect[] = "Expect: 100-continue";

struct fc_http_socket {
  fc_source source;
  fc_http_engine *engine;
  fc_http_client *client;
  fc_http_socket *next;          /* of the same client */
  int fd;
  bool idle;                     /* libcurl waits for nothing on it now */
};

/* ---- engine: libcurl on one side, the reactor on the other ---- */

static void close_directory (fc_http_request *q) {
  if (q->directory_fd >= 0)
    close(q->directory_fd);
  q->directory_fd = -1;
}

static void finish (fc_http_request *q, CURLcode result) {
  fc_http_engine *e = q->client->engine;
  curl_multi_remove_handle(e->multi, q->easy);
  close_directory(q);   /* libcurl tells of no socket that did not connect */
  q->result = result;
  q->state = FC_HTTP_DONE;
  fc_wake_fire(e->reactor, &q->wake);
}

static void collect_done (fc_http_engine *e) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(e->multi, &left))) {
    if (message->msg != CURLMSG_DONE)
      continue;
    fc_http_request *q = NULL;
    CURL *easy = message->easy_handle;
    CURLcode result = message->data.result;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&q);
    long os_errno = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &q->status);
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
    if (os_errno)   /* else what open_socket found */
      q->os_errno = (int)os_errno;
    finish(q, result);
  }
  for (fc_http_request *q; (q = e->unwatched);) {
    e->unwatched = q->next_unwatched;
    if (q->state == FC_HTTP_RUNNING)   /* else it was done all the same */
      finish(q, CURLE_ABORTED_BY_CALLBACK);
  }
}

static void act (fc_http_engine *e, curl_socket_t fd, int events) {
  int running;
  curl_multi_socket_action(e->multi, fd, events, &running);
  collect_done(e);
}

static void socket_ready (fc_source *source, uint32_t events) {
  fc_http_socket *s = (fc_http_socket *)((char *)source - offsetof(fc_http_socket, source));
  int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
             (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
  if (s->idle) {   /* hung up between requests; libcurl finds it dead before it would use it again */
    fc_reactor_unwatch(s->engine->reactor, source);
    return;
  }
  act(s->engine, s->fd, what);
}

static void timer_fired (fc_timer *timer) {
  fc_http_engine *e = (fc_http_engine *)((char *)timer - offsetof(fc_http_engine, timer));
  act(e, CURL_SOCKET_TIMEOUT, 0);
}

static int timer_changed (CURLM *multi, long ms, void *data) {
  fc_http_engine *e = data;
  (void)multi;
  fc_timer_arm(e->reactor, &e->timer, ms < 0 ? FC_NEVER : fc_now() + (double)ms / 1e3);
  return 0;
}

static int socket_changed (CURL *easy, curl_socket_t fd, int what, void *data, void *of_socket) {
  fc_http_engine *e = data;
  fc_http_socket *s = (size_t)fd < e->sockets_size ? e->sockets[fd] : NULL;
  fc_http_request *q = NULL;
  fc_error err;
  (void)of_socket;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&q);
  if (q)
    close_directory(q);
  if (!s)
    return 0;
  s->idle = what == CURL_POLL_REMOVE;
  if (s->idle)
    return 0;   /* the next request wants it again: it stays registered */
  uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
  int rc = s->source.registered ? fc_reactor_change(e->reactor, &s->source, events, &err)
                                : fc_reactor_watch(e->reactor, &s->source, fd, events, socket_ready, &err);
  if (rc < 0 && q && !q->unwatched) {   /* -1 from here would end every running request of the engine */
    q->unwatched = true;
    q->os_errno = err.errnum;
    q->next_unwatched = e->unwatched;
    e->unwatched = q;
  }
  return 0;
}

/* ---- connections ---- */

static fc_http_socket *remember_socket (fc_http_client *c, int fd) {
  fc_http_engine *e = c->engine;
  if ((size_t)fd >= e->sockets_size) {
    size_t size = e->sockets_size ? e->sockets_size : 64;
    while (size <= (size_t)fd)
      size *= 2;
    fc_http_socket **sockets = realloc(e->sockets, size * sizeof(fc_http_socket *));
    if (!sockets)
      return NULL;
    memset(sockets + e->sockets_size, 0, (size - e->sockets_size) * sizeof(fc_http_socket *));
    e->sockets = sockets;
    e->sockets_size = size;
  }
  fc_http_socket *s = calloc(1, sizeof *s);
  if (s) {
    *s = (fc_http_socket){.engine = e, .client = c, .next = c->sockets, .fd = fd};
    c->sockets = s;
    e->sockets[fd] = s;
  }
  return s;
}

#if LIBCURL_VERSION_NUM >= 0x075000   /* 7.80; an older one may send a request twice */
/* It is about to send the request. */
static int begin (void *data, char *to, char *from, int to_port, int from_port) {
  fc_http_request *q = data;
  (void)to, (void)from, (void)to_port, (void)from_port;
  q->begun = !q->reads;
  return CURL_PREREQFUNC_OK;
}
#endif

/* May change the address (documented by libcurl), which lifts its limit on the path's length. */
static curl_socket_t open_socket (void *data, curlsocktype purpose, struct curl_sockaddr *address) {
  fc_http_request *q = data;
  struct sockaddr_un unix_address;
  (void)purpose;
  if (q->client->closing || q->begun)   /* one that may have been heard is not said twice */
    return CURL_SOCKET_BAD;
  close_directory(q);
  if (fc_unix_address(q->client->path, &unix_address, &q->directory_fd) < 0) {
    q->os_errno = errno;
    return CURL_SOCKET_BAD;
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || !remember_socket(q->client, fd)) {
    q->os_errno = errno;
    if (fd >= 0)
      close(fd);
    return CURL_SOCKET_BAD;
  }
  memcpy(&address->addr, &unix_address, sizeof unix_address);
  address->addrlen = sizeof unix_address;
  return fd;
}

static int close_socket (void *data, curl_socket_t fd) {
  fc_http_engine *e = data;
  fc_http_socket *s = (size_t)fd < e->sockets_size ? e->sockets[fd] : NULL;
  if (s) {
    fc_reactor_unwatch(e->reactor, &s->source);
    e->sockets[fd] = NULL;
    for (fc_http_socket **at = &s->client->sockets; *at; at = &(*at)->next)
      if (*at == s) {
        *at = s->next;
        break;
      }
    free(s);
  }
  return close(fd);
}

static size_t take_reply (char *bytes, size_t size, size_t count, void *data) {
  fc_http_request *q = data;
  size_t n = size * count;
  if (q->reply.length + n > REPLY_LIMIT) {
    q->too_large = true;
    return 0;
  }
  return fc_buffer_append(&q->reply, bytes, n) < 0 ? 0 : n;
}

/* Who refuses a request may do so before its body is read, and takes the body for the next request then: its complaint of
 * that would be the next one's reply. */
static void leave_unread (fc_http_request *q) {
  long status = 0;
  curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status >= 400 && q->body.length > 0)
    curl_easy_setopt(q->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* One line of the headers, of an interim reply (100) too; or of a trailer, which ends otherwise. */
static size_t take_header (char *bytes, size_t size, size_t count, void *data) {
  fc_http_request *q = data;
  size_t n = size * count;
  if (n > 0 && (bytes[0] == '\r' || bytes[0] == '\n')) {
    q->headers_ended = true;
    leave_unread(q);
  } else if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
    q->headers_ended = false;
  return n;
}

/* ---- engine ---- */

int fc_http_engine_open (fc_http_engine *e, fc_reactor *r, fc_error *err) {
  *e = (fc_http_engine){.reactor = r};
  if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
    return fc_error_set(err, "http", 0, "libcurl cannot be initialised");
  e->multi = curl_multi_init();
  const char *const headers[] = {"Expect:", "Content-Type: application/json", "Host: localhost"};
  bool complete = e->multi != NULL;
  for (size_t i = 0; complete && i < sizeof headers / sizeof *headers; i++) {
    struct curl_slist *list = curl_slist_append(e->headers, headers[i]);
    complete = list != NULL;
    e->headers = list ? list : e->headers;
  }
  if (!complete || fc_timer_open(r, &e->timer, timer_fired, err) < 0) {
    fc_http_engine_close(e);
    return fc_error_memory(err);
  }
  e->expecting = (struct curl_slist){.data = expect, .next = e->headers->next};
  curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
  curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
  curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, timer_changed);
  curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
  return 0;
}

void fc_http_engine_close (fc_http_engine *e) {
  if (!e->reactor)
    return;
  if (e->multi)
    curl_multi_cleanup(e->multi);
  fc_timer_close(e->reactor, &e->timer);
  curl_slist_free_all(e->headers);
  free(e->sockets);
  curl_global_cleanup();
  *e = (fc_http_engine){0};
}

/* ---- client ---- */

int fc_http_client_open (fc_http_client *c, fc_http_engine *e, const char *path, size_t body_limit, fc_error *err) {
  *c = (fc_http_client){.body_limit = body_limit};
  c->path = strdup(path);
  if (!c->path)
    return fc_error_memory(err);
  c->engine = e;
  snprintf(c->host, sizeof c->host, "http://vm-%lu", ++e->last_client);
  e->clients++;
  curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, e->clients * 4 + 16);
  return 0;
}

/* libcurl has no call to close one idle connection. But it looks whether a connection is dead before it
 * would use it again, and closes it then: so make them dead and ask for one, by any request. */
static void bury_connections (fc_http_client *c) {
  fc_http_engine *e = c->engine;
  fc_http_request own = {.client = NULL}, *q = c->requests;
  fc_error err;
  for (fc_http_socket *s = c->sockets; s; s = s->next)
    shutdown(s->fd, SHUT_RDWR);
  if (!q && fc_http_request_open(&own, c, &err) == 0)
    q = &own;
  if (q && curl_easy_setopt(q->easy, CURLOPT_URL, c->host) == CURLE_OK &&
      curl_multi_add_handle(e->multi, q->easy) == CURLM_OK) {   /* else a later request of another client finds them */
    q->state = FC_HTTP_RUNNING;
    fc_timer_disarm(e->reactor, &e->timer);
    act(e, CURL_SOCKET_TIMEOUT, 0);
  }
  fc_http_request_close(&own);
}

void fc_http_client_close (fc_http_client *c) {
  fc_http_engine *e = c->engine;
  if (!e)
    return;
  c->closing = true;
  for (fc_http_request *q = c->requests; q; q = q->next)
    fc_http_request_cancel(q);
  if (c->sockets && fc_reactor_is_ours(e->reactor))
    bury_connections(c);
  while (c->requests)
    fc_http_request_close(c->requests);
  for (fc_http_socket *s = c->sockets; s; s = s->next)   /* none, unless we are a forked child */
    e->sockets[s->fd] = NULL;
  while (c->sockets) {
    fc_http_socket *s = c->sockets;
    c->sockets = s->next;
    fc_reactor_unwatch(e->reactor, &s->source);
    free(s);
  }
  e->clients--;
  free(c->path);
  *c = (fc_http_client){0};
}

/* ---- request ---- */

int fc_http_request_open (fc_http_request *q, fc_http_client *c, fc_error *err) {
  *q = (fc_http_request){.directory_fd = -1, .easy = curl_easy_init(), .parsed = curl_url()};
  if (!q->easy || !q->parsed) {
    curl_easy_cleanup(q->easy);
    curl_url_cleanup(q->parsed);
    *q = (fc_http_request){.directory_fd = -1};
    return fc_error_memory(err);
  }
  curl_easy_setopt(q->easy, CURLOPT_PRIVATE, q);
  curl_easy_setopt(q->easy, CURLOPT_UNIX_SOCKET_PATH, c->host);   /* any name: open_socket puts the real one */
  curl_easy_setopt(q->easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(q->easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(q->easy, CURLOPT_MAXAGE_CONN, 365L * 86400);
  curl_easy_setopt(q->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 86400L * 1000);   /* the caller's time limit is shorter */
  curl_easy_setopt(q->easy, CURLOPT_ERRORBUFFER, q->problem);
  curl_easy_setopt(q->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(q->easy, CURLOPT_OPENSOCKETDATA, q);
  curl_easy_setopt(q->easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
  curl_easy_setopt(q->easy, CURLOPT_CLOSESOCKETDATA, c->engine);
  curl_easy_setopt(q->easy, CURLOPT_WRITEFUNCTION, take_reply);
  curl_easy_setopt(q->easy, CURLOPT_WRITEDATA, q);
  curl_easy_setopt(q->easy, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(q->easy, CURLOPT_HEADERDATA, q);
#if LIBCURL_VERSION_NUM >= 0x075000
  curl_easy_setopt(q->easy, CURLOPT_PREREQFUNCTION, begin);
  curl_easy_setopt(q->easy, CURLOPT_PREREQDATA, q);
#endif
  fc_wake_open(c->engine->reactor, &q->wake);
  q->client = c;
  q->next = c->requests;
  c->requests = q;
  return 0;
}

static void take_body (fc_http_request *q, fc_buffer *body) {
  fc_buffer had = q->body;
  fc_buffer_clear(&had);
  if (body) {
    q->body = *body;
    *body = had;
  } else {
    q->body = had;
  }
}

/* The URL too as it was: for older libcurls, which take it for another try, and for one that does not parse. */
static int set_url (fc_http_request *q, const char *path, fc_error *err) {
  const char *host = q->client->host;
  size_t before = strlen(host), after = strlen(path);
  if (before + after >= URL_LIMIT)
    return fc_error_set(err, "http", ENAMETOOLONG, "request path too long: %.80s…", path);
  if (q->url.length == before + after + 1 && memcmp(fc_buffer_bytes(&q->url) + before, path, after) == 0)
    return 0;
  fc_buffer_clear(&q->url);
  if (fc_buffer_append(&q->url, host, before) < 0 || fc_buffer_append(&q->url, path, after + 1) < 0 ||
      curl_easy_setopt(q->easy, CURLOPT_URL, fc_buffer_bytes(&q->url)) != CURLE_OK) {
    fc_buffer_clear(&q->url);
    return fc_error_memory(err);
  }
  CURLUcode rc = curl_url_set(q->parsed, CURLUPART_URL, fc_buffer_bytes(&q->url), 0);
  curl_easy_setopt(q->easy, CURLOPT_CURLU, rc == CURLUE_OK ? q->parsed : NULL);
  return 0;
}

int fc_http_request_start (fc_http_request *q, const char *method, const char *path, fc_buffer *body, fc_error *err) {
  fc_http_engine *e = q->client->engine;
  take_body(q, body);
  if (fc_reactor_check_ours(e->reactor, err) < 0)
    return -1;
  if (set_url(q, path, err) < 0)
    return -1;
  fc_buffer_clear(&q->reply);
  q->reads = strcmp(method, "GET") == 0;
  q->begun = q->too_large = q->headers_ended = q->unwatched = false;
  q->status = 0;
  q->os_errno = 0;
  q->problem[0] = '\0';
  CURLcode rc = CURLE_OK;
  struct curl_slist *headers = e->headers;
  if (!body)
    headers = headers->next->next;   /* each costs libcurl a pass */
  else if (q->body.length > q->client->body_limit)
    headers = &e->expecting;
  else if (q->body.length < EXPECT_LENGTH)
    headers = headers->next;
  curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(q->easy, CURLOPT_FORBID_REUSE, 0L);
  if (body) {
    rc = curl_easy_setopt(q->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.length);
    curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, fc_buffer_bytes(&q->body));
  } else {
    rc = curl_easy_setopt(q->easy, CURLOPT_HTTPGET, 1L);
  }
  if (rc != CURLE_OK || curl_easy_setopt(q->easy, CURLOPT_CUSTOMREQUEST, method) != CURLE_OK)
    return fc_error_memory(err);
  CURLMcode mc = curl_multi_add_handle(e->multi, q->easy);
  if (mc != CURLM_OK)
    return fc_error_set(err, "http", 0, "libcurl: %s", curl_multi_strerror(mc));
  q->state = FC_HTTP_RUNNING;
  do {   /* it asks to be called at once, and once more when it has sent; it may even be done after this */
    fc_timer_disarm(e->reactor, &e->timer);
    act(e, CURL_SOCKET_TIMEOUT, 0);
  } while (q->state == FC_HTTP_RUNNING && e->timer.slot && e->timer.deadline <= fc_now());
  return 0;
}

void fc_http_request_cancel (fc_http_request *q) {
  if (q->state == FC_HTTP_RUNNING)
    curl_multi_remove_handle(q->client->engine->multi, q->easy);
  fc_wake_close(q->client->engine->reactor, &q->wake);   /* it tells of nothing that is still to come */
  q->state = FC_HTTP_IDLE;
  close_directory(q);
}

int fc_http_request_result (const fc_http_request *q, fc_error *err) {
  if (q->result == CURLE_OK && !q->headers_ended)
    return fc_error_set(err, "http", 0, "the reply was cut among its headers");
  if (q->result == CURLE_OK && (q->status < 100 || q->status > 999))   /* what libcurl makes of "HTTP/21.1 200" */
    return fc_error_set(err, "http", 0, "the reply has no status between 100 and 999");
  if (q->result == CURLE_OK)
    return 0;
  if (q->unwatched)
    return fc_error_system(err, q->os_errno, "cannot wait for the reply"), err->code = "http", -1;
  if (q->too_large)
    return fc_error_set(err, "http", EMSGSIZE, "the reply is larger than %d MiB", REPLY_LIMIT >> 20);
  if (q->result == CURLE_COULDNT_CONNECT && q->begun)
    return fc_error_set(err, "http", ECONNRESET, "the connection ended without a reply");
  if (q->result == CURLE_COULDNT_CONNECT)   /* libcurl waits, in vain, for one that the listener has no room for */
    return fc_error_system(err, q->os_errno ? q->os_errno : EAGAIN, "cannot connect to %s", q->client->path),
           err->code = "connect", -1;
  return fc_error_set(err, "http", 0, "%s", q->problem[0] ? q->problem : curl_easy_strerror(q->result));
}

void fc_http_request_close (fc_http_request *q) {
  fc_http_client *c = q->client;
  if (!c)
    return;
  fc_http_request_cancel(q);
  curl_easy_cleanup(q->easy);
  curl_url_cleanup(q->parsed);
  fc_wake_close(c->engine->reactor, &q->wake);
  for (fc_http_request **at = &c->requests; *at; at = &(*at)->next)
    if (*at == q) {
      *at = q->next;
      break;
    }
  fc_buffer_free(&q->url);
  fc_buffer_free(&q->body);
  fc_buffer_free(&q->reply);
  *q = (fc_http_request){.directory_fd = -1};
}
