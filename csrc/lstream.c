/* lstream: core.stream, bytes and lines from a descriptor as they come. @see csrc/sys/stream.h */
#include "lcommon.h"
#include "sys/stream.h"

#include <string.h>

#define STREAM_BOX "firecracker.stream"

/***
Streams.
@submodule firecracker.core
*/

enum { DEFAULT_LIMIT = 64 * 1024 };

static fc_stream *check_stream (lua_State *L) {
  fc_stream *s = luaL_checkudata(L, 1, STREAM_BOX);
  luaL_argcheck(L, s->reactor, 1, "closed stream");
  return s;
}

/***
Read from a descriptor from now on; the stream owns it.
@function stream.open
@tparam fd fd of a FIFO, a pty or a socket; its handle is closed afterwards
@int[opt=65536] limit bytes kept at most; the writer waits (or drops) beyond it
@treturn[1] stream
@return[2] nil
@return[2] err
*/
static int stream_open (lua_State *L) {
  fc_fd_box *fd = fc_check_fd(L, 1);
  lua_Integer limit = luaL_optinteger(L, 2, DEFAULT_LIMIT);
  luaL_argcheck(L, limit > 0 && limit <= 1 << 30, 2, "limit out of range");
  fc_stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (fc_stream){.fd = -1};
  luaL_setmetatable(L, STREAM_BOX);
  fc_error err;
  int number = fd->fd;
  fd->fd = -1;
  if (fc_stream_open(s, &fc_reactor_of(L)->reactor, number, (size_t)limit, &err) < 0)
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
static int push_nothing (lua_State *L, const fc_stream *s) {
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

/***
Take the bytes that are there.
@function stream:read
@treturn[1] string
@treturn[2] boolean false when none are there yet
@return[3] nil at the end
@return[3] err when an error ended it
*/
static int stream_read (lua_State *L) {
  fc_stream *s = check_stream(L);
  if (s->buffer.length == 0)
    return push_nothing(L, s);
  lua_pushlstring(L, fc_buffer_bytes(&s->buffer), s->buffer.length);
  fc_stream_take(s, s->buffer.length);
  return 1;
}

/***
Take a line, without its newline. A line longer than the limit comes in pieces.
@function stream:line
@treturn[1] string
@treturn[2] boolean false when a whole line is not there yet
@return[3] nil at the end
@return[3] err when an error ended it
*/
static int stream_line (lua_State *L) {
  fc_stream *s = check_stream(L);
  size_t n = fc_stream_line(s);
  if (n == 0)
    return push_nothing(L, s);
  const char *bytes = fc_buffer_bytes(&s->buffer);
  lua_pushlstring(L, bytes, bytes[n - 1] == '\n' ? n - 1 : n);
  fc_stream_take(s, n);
  return 1;
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
Send bytes to the other end of a socket, as many as go at once.
@function stream:send
@string bytes
@treturn[1] integer how many went; 0: there is no room yet
@return[2] nil
@return[2] err
@see send(2)
*/
static int stream_send (lua_State *L) {
  fc_stream *s = check_stream(L);
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  fc_error err;
  ssize_t sent = fc_stream_send(s, bytes, n, &err);
  if (sent < 0)
    return fc_fail(L, &err);
  lua_pushinteger(L, sent);
  return 1;
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
      {"key", stream_key},   {"read", stream_read}, {"line", stream_line},
      {"batch", stream_batch}, {"fill", stream_fill}, {"send", stream_send}, {"close", stream_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", stream_close}, {"__close", stream_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", stream_open}, {NULL, NULL}};
  fc_new_metatable(L, STREAM_BOX, methods, metamethods);
  luaL_newlib(L, functions);
  return 1;
}
