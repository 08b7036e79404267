/* http: requests over a Unix socket with libcurl's multi interface, moved by the reactor. An engine
 * (one a reactor) holds the connections of all clients; a client is one socket path; a request is used
 * again and again. Nothing blocks; completion fires the request's wake.
 * It decodes nothing and retries nothing. @see libcurl-multi(3), curl_multi_socket_action(3) */
#ifndef FC_HTTP_H
#define FC_HTTP_H

#if !__has_include(<curl/curl.h>)
#error "libcurl headers not found: apt-get install libcurl4-openssl-dev, or pass CURL_INCDIR=<dir> to luarocks"
#endif
#include <curl/curl.h>

#include "buffer.h"
#include "reactor.h"

#pragma GCC visibility push(hidden)

typedef struct fc_http_socket fc_http_socket;
typedef struct fc_http_client fc_http_client;
typedef struct fc_http_request fc_http_request;

typedef struct {
  fc_reactor *reactor;
  CURLM *multi;
  fc_timer timer;
  struct curl_slist *headers;    /* "Expect:", Content-Type, Host: a request has the last ones that it needs */
  struct curl_slist expecting;   /* "Expect: 100-continue" and the rest of them */
  fc_http_socket **sockets;      /* by descriptor */
  size_t sockets_size;
  fc_http_request *unwatched;    /* those that cannot go on, while libcurl works */
  long clients;                  /* open ones */
  unsigned long last_client;
} fc_http_engine;

struct fc_http_client {
  fc_http_engine *engine;        /* NULL: closed */
  char *path;
  char host[32];                 /* "http://vm-7": libcurl keeps connections apart by it */
  size_t body_limit;             /* a longer body is sent when the server says so */
  fc_http_socket *sockets;       /* open connections of this client */
  fc_http_request *requests;     /* requests made by this client */
  bool closing;                  /* opens no new connection */
};

enum fc_http_state { FC_HTTP_IDLE, FC_HTTP_RUNNING, FC_HTTP_DONE };

struct fc_http_request {
  fc_http_client *client;        /* NULL: closed */
  fc_http_request *next;
  CURL *easy;
  CURLU *parsed;                 /* the URL, as libcurl would parse and print it anew for each request */
  fc_buffer url;                 /* with its NUL */
  fc_wake wake;
  enum fc_http_state state;
  int directory_fd;              /* way to a path too long for sockaddr_un while connecting; -1 */
  fc_buffer body;                /* what is sent */
  fc_buffer reply;
  bool reads;                    /* it changes nothing: it may be sent twice */
  bool begun;                    /* one that changes something, on a connection: if that ends libcurl would send it again */
  bool too_large;
  bool unwatched;                /* the reactor could not take its connection */
  fc_http_request *next_unwatched;
  bool headers_ended;            /* libcurl takes a reply cut among its headers for a whole one */
  CURLcode result;
  long status;
  int os_errno;                  /* why connecting failed */
  char problem[CURL_ERROR_SIZE];
};

int fc_http_engine_open (fc_http_engine *e, fc_reactor *r, fc_error *err);
/* After all clients are closed. */
void fc_http_engine_close (fc_http_engine *e);

/* A body longer than `body_limit` waits for the server's "100 Continue". */
int fc_http_client_open (fc_http_client *c, fc_http_engine *e, const char *path, size_t body_limit, fc_error *err);
/* Cancels what runs, closes its connections now. Idempotent. */
void fc_http_client_close (fc_http_client *c);

int fc_http_request_open (fc_http_request *q, fc_http_client *c, fc_error *err);
void fc_http_request_close (fc_http_request *q);
/* Send `method path` with `body` (NULL: none). The strings are copied; the body's bytes are taken, and it gets the memory of
 * the last one's. */
int fc_http_request_start (fc_http_request *q, const char *method, const char *path, fc_buffer *body, fc_error *err);
/* Give up a running request; its connection is closed. */
void fc_http_request_cancel (fc_http_request *q);
/* After DONE: 0 when a reply with a status came, else -1 and err ("http", errnum when connecting failed). */
int fc_http_request_result (const fc_http_request *q, fc_error *err);

#pragma GCC visibility pop
#endif
