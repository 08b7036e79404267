/* lstream: core.stream, bytes and lines from a descriptor as they come. @see csrc/sys/stream.h */
#include "lcommon.h"
#include "sys/stream.h"
#include "sys/vsock.h"

#include <string.h>

#define STREAM_BOX "firecracker.stream"

/***
Streams.
@submodule firecracker.core
*/

enum { DEFAULT_LIMIT = 64 * 1024, MOST_AT_ONCE = 256 * 1024 };

static fc_stream *check_stream (lua_State *L) {
  fc_stream *s = luaL_checkudata(L, 1, STREAM_BOX);
  luaL_argcheck(L, s->reactor, 1, "closed stream");
  return s;
}

static size_t check_limit (lua_State *L, int argument) {
  lua_Integer limit = luaL_optinteger(L, argument, DEFAULT_LIMIT);
  luaL_argcheck(L, limit > 0 && limit <= 1 << 30, argument, "limit out of range");
  return (size_t)limit;
}

static fc_stream *new_stream (lua_State *L) {
  fc_stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (fc_stream){.fd = -1};
  luaL_setmetatable(L, STREAM_BOX);
  return s;
}

/***
Read from a descriptor from now on; the stream owns it.
@function stream.open
@tparam fd fd of a FIFO, a pty or a socket; its handle is closed afterwards
@int[opt=65536] limit bytes kept at most; the writer waits (or drops) beyond it
@bool[opt=false] ring the oldest bytes are forgotten beyond it instead
@treturn[1] stream
@return[2] nil
@return[2] err
*/
static int stream_open (lua_State *L) {
  fc_fd_box *fd = fc_check_fd(L, 1);
  size_t limit = check_limit(L, 2);
  bool ring = lua_toboolean(L, 3);
  fc_stream *s = new_stream(L);
  fc_error err;
  int number = fd->fd;
  fd->fd = -1;
  if (fc_stream_open(s, &fc_reactor_of(L)->reactor, number, limit, ring, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
Connect to a VMM's vsock socket and ask for a port of the guest's. @{stream:acknowledged} tells of the reply.
@function stream.dial
@string path of any length
@int port
@int[opt=65536] limit as in `open`
@treturn[1] stream
@return[2] nil
@return[2] err
*/
static int stream_dial (lua_State *L) {
  const char *path = fc_check_text(L, 1);
  lua_Integer port = luaL_checkinteger(L, 2);
  luaL_argcheck(L, port >= 0 && port <= UINT32_MAX, 2, "port out of range");
  size_t limit = check_limit(L, 3);
  fc_stream *s = new_stream(L);
  fc_error err;
  int fd;
  if (fc_vsock_dial(path, (uint32_t)port, &fd, &err) < 0 ||
      fc_stream_open_socket(s, &fc_reactor_of(L)->reactor, fd, limit, &err) < 0)
    return fc_fail(L, &err);
  return 1;
}

/***
The key that fires when bytes or the end have come.
@function stream:key
@treturn integer
*/
static int stream_key (lua_State *L) {
  lua_pushinteger(L, check_stream(L)->wake.key);
  return 1;
}

/* What a reader gets when there are no bytes: false (not yet), or nil and perhaps why it ended. */
static int push_nothing (lua_State *L, fc_stream *s) {
  if (!s->ended) {
    lua_pushboolean(L, 0);
    return 1;
  }
  if (s->error == 0) {
    lua_pushnil(L);
    return 1;
  }
  fc_error err;
  fc_error_system(&err, s->error, "cannot read");
  return fc_fail(L, &err);
}

/* The first n bytes, taken. */
static int push_bytes (lua_State *L, fc_stream *s, size_t n) {
  lua_pushlstring(L, fc_buffer_bytes(&s->buffer), n);
  s->want = 0;
  fc_stream_take(s, n);
  return 1;
}

/***
Take the reply to @{stream.dial}; the bytes behind it stay.
@function stream:acknowledged
@treturn[1] boolean true
@treturn[2] boolean false when it is not there yet
@return[3] nil at the end
@return[3] err (code "garbage": something else came) when an error ended it
*/
static int stream_acknowledged (lua_State *L) {
  fc_stream *s = check_stream(L);
  const char *bytes = fc_buffer_bytes(&s->buffer);
  ssize_t n = fc_vsock_reply(bytes, s->buffer.length);
  if (n == 0)
    return push_nothing(L, s);
  if (n < 0) {
    fc_error err;
    fc_error_set(&err, "garbage", 0, "'%.*s' came in place of OK", s->buffer.length < 40 ? (int)s->buffer.length : 40, bytes);
    return fc_fail(L, &err);
  }
  fc_stream_take(s, (size_t)n);
  lua_pushboolean(L, 1);
  return 1;
}

/***
Take bytes.
@function stream:read
@int[opt] n so many, fewer only at the end; the limit does not bind them. Absent: what is there; negative: at most so many,
beyond the limit up to 256 KiB
@treturn[1] string
@treturn[2] boolean false when they are not there yet
@return[3] nil at the end
@return[3] err when an error ended it
*/
static int stream_read (lua_State *L) {
  fc_stream *s = check_stream(L);
  lua_Integer n = luaL_optinteger(L, 2, -LUA_MAXINTEGER);
  size_t most = n < 0 ? -(size_t)n : (size_t)n, least = n < 0 ? 1 : most;
  if (s->buffer.length < least && !lua_isnoneornil(L, 2))
    fc_stream_want(s, n > 0 || most < MOST_AT_ONCE ? most : MOST_AT_ONCE);
  size_t there = s->buffer.length;
  if (there == 0 || (there < least && !s->ended))
    return push_nothing(L, s);
  return push_bytes(L, s, there < most ? there : most);
}

/***
Take a line, without its newline. A line longer than the limit comes in pieces.
@function stream:line
@int[opt] most bytes in place of the limit
@bool[opt=false] whole with its newline
@treturn[1] string
@treturn[2] boolean false when a whole line is not there yet
@return[3] nil at the end
@return[3] err when an error ended it
*/
static int stream_line (lua_State *L) {
  fc_stream *s = check_stream(L);
  lua_Integer most = luaL_optinteger(L, 2, 0);
  bool whole = lua_toboolean(L, 3);
  luaL_argcheck(L, most >= 0, 2, "out of range");
  if (s->want != (size_t)most)
    fc_stream_want(s, (size_t)most);
  size_t n = fc_stream_line(s);
  if (n == 0)
    return push_nothing(L, s);
  const char *bytes = fc_buffer_bytes(&s->buffer);
  lua_pushlstring(L, bytes, n - (!whole && bytes[n - 1] == '\n'));
  s->want = 0;
  fc_stream_take(s, n);
  return 1;
}

/***
Keep no more than the limit again, as before a `read` or a `line` that waited for more; what is there stays.
@function stream:give_up
*/
static int stream_give_up (lua_State *L) {
  fc_stream_want(check_stream(L), 0);
  return 0;
}

/***
Look at the bytes that are there; they stay.
@function stream:peek
@treturn string
@treturn boolean whether no more will come
@treturn integer how many a ring has forgotten
*/
static int stream_peek (lua_State *L) {
  fc_stream *s = check_stream(L);
  lua_pushlstring(L, fc_buffer_bytes(&s->buffer), s->buffer.length);
  lua_pushboolean(L, s->ended);
  lua_pushinteger(L, (lua_Integer)s->dropped);
  return 3;
}

/***
Take all whole lines that are there, without their newlines; otherwise as `line`.
@function stream:batch
@tparam table into gets them from 1 on
@treturn[1] integer how many
@treturn[2] boolean false when no whole line is there yet
@return[3] nil at the end
@return[3] err when an error ended it
*/
static int stream_batch (lua_State *L) {
  fc_stream *s = check_stream(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  size_t taken = 0;
  lua_Integer count = 0;
  /* taken from the stream at the end: a Lua error on the way loses nothing */
  while (taken < s->buffer.length) {
    const char *bytes = fc_buffer_bytes(&s->buffer) + taken;
    const char *newline = memchr(bytes, '\n', s->buffer.length - taken);
    if (!newline)
      break;
    lua_pushlstring(L, bytes, (size_t)(newline - bytes));
    lua_rawseti(L, 2, ++count);
    taken += (size_t)(newline - bytes) + 1;
  }
  if (count == 0 && (taken = fc_stream_line(s)) > 0) {
    lua_pushlstring(L, fc_buffer_bytes(&s->buffer), taken);
    lua_rawseti(L, 2, ++count);
  }
  if (count == 0)
    return push_nothing(L, s);
  fc_stream_take(s, taken);
  lua_pushinteger(L, count);
  return 1;
}

/***
Read what there is without waiting for the reactor to tell of it.
@function stream:fill
*/
static int stream_fill (lua_State *L) {
  fc_stream_fill(check_stream(L));
  return 0;
}

/***
Send bytes to the other end of a socket or a pty, as many as go at once.
@function stream:send
@string bytes
@int[opt=1] from the first of them
@treturn[1] integer how many went; 0: there is no room yet
@return[2] nil
@return[2] err
@see send(2)
*/
static int stream_send (lua_State *L) {
  fc_stream *s = check_stream(L);
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  lua_Integer from = luaL_optinteger(L, 3, 1);
  luaL_argcheck(L, from >= 1 && (size_t)from <= n + 1, 3, "out of range");
  fc_error err;
  ssize_t sent = fc_stream_send(s, bytes + from - 1, n - (size_t)(from - 1), &err);
  if (sent < 0)
    return fc_fail(L, &err);
  lua_pushinteger(L, sent);
  return 1;
}

/***
Have a key fired, once, when more can be sent.
@function stream:room
@treturn[1] integer the key
@return[2] nil
@return[2] err
*/
static int stream_room (lua_State *L) {
  fc_stream *s = check_stream(L);
  fc_error err;
  if (fc_stream_await_room(s, &err) < 0)
    return fc_fail(L, &err);
  lua_pushinteger(L, s->room.key);
  return 1;
}

/***
The descriptor's number.
@function stream:fd
@treturn integer
*/
static int stream_fd (lua_State *L) {
  lua_pushinteger(L, check_stream(L)->fd);
  return 1;
}

/***
Read no more and close the descriptor; what is there can still be taken, and then comes the end.
@function stream:finish
*/
static int stream_finish (lua_State *L) {
  fc_stream_finish(check_stream(L));
  return 0;
}

/***
Stop reading and close the descriptor; closing twice is no error.
@function stream:close
*/
static int stream_close (lua_State *L) {
  fc_stream_close(luaL_checkudata(L, 1, STREAM_BOX));
  return 0;
}

int fc_open_stream (lua_State *L) {
  static const luaL_Reg methods[] = {
      {"key", stream_key},     {"acknowledged", stream_acknowledged}, {"read", stream_read}, {"line", stream_line},
      {"batch", stream_batch}, {"give_up", stream_give_up}, {"peek", stream_peek}, {"fill", stream_fill},
      {"send", stream_send},   {"room", stream_room}, {"fd", stream_fd}, {"finish", stream_finish},
      {"close", stream_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", stream_close}, {"__close", stream_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", stream_open}, {"dial", stream_dial}, {NULL, NULL}};
  fc_new_metatable(L, STREAM_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
