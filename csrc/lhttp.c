/* lhttp: the module firecracker.core.http, requests over a Unix socket. It is an object of its own because
 * libcurl is expensive to load; it shares the reactor of firecracker.core. @see csrc/sys/http.h */
#include "lcommon.h"
#include "sys/http.h"

#include <string.h>

/***
Requests over Unix sockets with libcurl. Loaded at the first request.
@module firecracker.core.http
*/

#define ENGINE_BOX "firecracker.http.engine"
#define CLIENT_BOX "firecracker.http.client"
#define REQUEST_BOX "firecracker.http.request"

static fc_http_engine *find_engine (lua_State *L, int reactor_index) {
  fc_http_engine *e = NULL;
  if (lua_getiuservalue(L, reactor_index, 2) == LUA_TUSERDATA)
    e = luaL_checkudata(L, -1, ENGINE_BOX);
  lua_pop(L, 1);
  return e;
}

/* The engine lives in the reactor's second user value: made after it, so finalised before it. */
static fc_http_engine *engine_of (lua_State *L, int reactor_index) {
  fc_reactor_box *box = fc_check_reactor(L, reactor_index);
  fc_http_engine *there = find_engine(L, reactor_index);
  if (there && !there->reactor)
    luaL_error(L, "firecracker: the state is closing");   /* a finalizer asks, later than ours */
  if (there)
    return there;
  fc_http_engine *e = lua_newuserdatauv(L, sizeof *e, 0);
  *e = (fc_http_engine){0};
  luaL_setmetatable(L, ENGINE_BOX);
  there = find_engine(L, reactor_index);   /* a finalizer run for that memory may have made one */
  if (there)
    return there;
  fc_error err;
  if (fc_http_engine_open(e, &box->reactor, &err) < 0)
    luaL_error(L, "firecracker: %s", err.message);
  lua_setiuservalue(L, reactor_index, 2);
  return e;
}

static int engine_gc (lua_State *L) {
  fc_http_engine_close(luaL_checkudata(L, 1, ENGINE_BOX));
  return 0;
}

static fc_http_client *check_client (lua_State *L) {
  fc_http_client *c = luaL_checkudata(L, 1, CLIENT_BOX);
  luaL_argcheck(L, c->engine, 1, "closed client");
  return c;
}

static fc_http_request *check_request (lua_State *L) {
  fc_http_request *q = luaL_checkudata(L, 1, REQUEST_BOX);
  luaL_argcheck(L, q->client, 1, "closed request");
  return q;
}

/***
A client of the server at a Unix socket. Nothing is connected before the first request.
@function client
@tparam reactor reactor
@string path of the socket; may be longer than the 107 bytes of a socket address
@int[opt] body_limit bytes: a longer body is sent when the server says so ("Expect: 100-continue"); absent: none waits
@treturn[1] client with the methods `request()` and `close()`
@return[2] nil
@return[2] err
*/
static int http_client (lua_State *L) {
  const char *path = fc_check_text(L, 2);
  lua_Integer body_limit = luaL_optinteger(L, 3, LUA_MAXINTEGER);
  luaL_argcheck(L, body_limit >= 0, 3, "a number of bytes expected");
  fc_http_engine *e = engine_of(L, 1);
  fc_http_client *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (fc_http_client){0};
  luaL_setmetatable(L, CLIENT_BOX);
  fc_error err;
  if (fc_http_client_open(c, e, path, (size_t)body_limit, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
A request, to be used again and again; one after another on it, several side by side on several.
@function client:request
@treturn[1] request
@return[2] nil
@return[2] err
*/
static int client_request (lua_State *L) {
  check_client(L);
  fc_http_request *q = lua_newuserdatauv(L, sizeof *q, 1);
  *q = (fc_http_request){.directory_fd = -1};
  luaL_setmetatable(L, REQUEST_BOX);
  fc_http_client *c = check_client(L);   /* again: a finalizer run for that memory may have closed it */
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);   /* the client lives as long as its requests */
  fc_error err;
  if (fc_http_request_open(q, c, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Close its connections now and cancel what runs; closing twice is no error.
@function client:close
*/
static int client_close (lua_State *L) {
  fc_http_client_close(luaL_checkudata(L, 1, CLIENT_BOX));
  return 0;
}

/***
Send. The request's key fires when the reply is there, or it failed.
@function request:start
@string method "GET", "PUT", …
@string path begins with a slash
@tparam[opt] string|buffer body JSON text; that of a buffer of `json.buffer` is taken out of it
@treturn[1] boolean true
@return[2] nil
@return[2] err
*/
static int request_start (lua_State *L) {
  check_request(L);
  fc_buffer copy = {0}, *body = lua_touserdata(L, 4) ? luaL_checkudata(L, 4, FC_SCRATCH_BOX) : NULL;
  size_t length;
  const char *method = fc_check_text(L, 2);
  const char *path = fc_check_text(L, 3);
  const char *text = body ? NULL : luaL_optlstring(L, 4, NULL, &length);
  fc_http_request *q = check_request(L);   /* again: a finalizer may have closed it while a number became text */
  luaL_argcheck(L, q->state != FC_HTTP_RUNNING, 1, "this request is running");
  luaL_argcheck(L, method[0] && !method[strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")], 2, "capital letters expected");
  luaL_argcheck(L, path[0] == '/', 3, "must begin with a slash");
  fc_error err;
  if (text)
    body = &copy;
  if (text && fc_buffer_append(body, text, length) < 0)
    return fc_error_memory(&err), fc_fail(L, &err);
  int rc = fc_http_request_start(q, method, path, body, &err);
  fc_buffer_free(&copy);   /* what it had before */
  return fc_result(L, rc, &err);
}

/***
What it was last given to send.
@function request:body
@treturn string
*/
static int request_body (lua_State *L) {
  const fc_buffer *body = &check_request(L)->body;
  lua_pushlstring(L, fc_buffer_bytes(body), body->length);
  return 1;
}

/***
The key that fires when it is done.
@function request:key
@treturn integer
*/
static int request_key (lua_State *L) {
  lua_pushinteger(L, check_request(L)->wake.key);
  return 1;
}

static int push_result (lua_State *L, fc_http_request *q) {
  if (q->state != FC_HTTP_DONE) {
    lua_pushboolean(L, 0);
    return 1;
  }
  fc_error err;
  fc_wake_close(q->client->engine->reactor, &q->wake);   /* nobody needs to be told any more */
  if (fc_http_request_result(q, &err) < 0)
    return fc_fail(L, &err);
  lua_pushinteger(L, q->status);
  lua_pushlstring(L, fc_buffer_bytes(&q->reply), q->reply.length);
  return 2;
}

/***
What came. Its key does not fire any more then.
@function request:result
@treturn[1] integer the HTTP status
@treturn[1] string the body
@treturn[2] boolean false while it runs
@return[3] nil
@return[3] err (code "connect" with its errno, or "http")
*/
static int request_result (lua_State *L) {
  return push_result(L, check_request(L));
}

/***
Give up a running request; its connection is closed.
@function request:cancel
*/
static int request_cancel (lua_State *L) {
  fc_http_request_cancel(check_request(L));
  return 0;
}

/***
Give the request up and its memory back; closing twice is no error.
@function request:close
*/
static int request_close (lua_State *L) {
  fc_http_request_close(luaL_checkudata(L, 1, REQUEST_BOX));
  return 0;
}

LUAMOD_API __attribute__ ((visibility("default"))) int luaopen_firecracker_core_http (lua_State *L) {
  static const luaL_Reg functions[] = {{"client", http_client}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg engine[] = {{"__gc", engine_gc}, {NULL, NULL}};
  static const luaL_Reg client_methods[] = {{"request", client_request}, {"close", client_close}, {NULL, NULL}};
  static const luaL_Reg client[] = {{"__gc", client_close}, {"__close", client_close}, {NULL, NULL}};
  static const luaL_Reg request_methods[] = {{"start", request_start},   {"key", request_key},
                                             {"result", request_result}, {"cancel", request_cancel},
                                             {"close", request_close},   {"body", request_body},
                                             {NULL, NULL}};
  static const luaL_Reg request[] = {{"__gc", request_close}, {"__close", request_close}, {NULL, NULL}};
  luaL_checkversion(L);
  fc_new_metatable(L, ENGINE_BOX, none, engine);
  fc_new_metatable(L, CLIENT_BOX, client_methods, client);
  fc_new_metatable(L, REQUEST_BOX, request_methods, request);
  luaL_newlib(L, functions);
  return 1;
}
