/* lreactor: core.reactor, the one place to wait. @see csrc/sys/reactor.h */
#include "lcommon.h"
#include "sys/clock.h"

#include <stdio.h>
#include <string.h>

#define TIMER_BOX "firecracker.timer"

/***
The one place to wait.
@submodule firecracker.core
*/

typedef struct {
  fc_reactor *reactor;   /* NULL: closed */
  fc_timer timer;
  fc_wake wake;
} timer_box;

static const char registry_key = 0;   /* its address is the key of the state's reactor */

fc_reactor_box *fc_reactor_of (lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
  fc_reactor_box *box = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!box)
    luaL_error(L, "firecracker.core is not open in this state");
  return box;
}

/* Push the key of what has fired first, if anything has; returns how many. */
static int push_first (lua_State *L, const fc_reactor *reactor) {
  int64_t key = fc_reactor_first(reactor);
  if (key != 0)
    lua_pushinteger(L, key);
  return key != 0;
}

/***
Wait until something happens or the deadline comes, and dispatch it.
@function reactor:step
@number[opt] deadline a time of core.now(); absent: no end
@treturn[1] bool true; false when a signal interrupted the wait
@treturn[1] ?integer the key of what has fired first, which stays there
@return[2] nil
@return[2] err
@see epoll_pwait2(2)
*/
static int reactor_step (lua_State *L) {
  fc_reactor_box *box = fc_check_reactor(L, 1);
  double deadline = luaL_optnumber(L, 2, FC_NEVER);
  fc_error err;
  int rc = fc_reactor_step(&box->reactor, deadline, &err);
  if (rc < 0)
    return fc_fail(L, &err);
  lua_pushboolean(L, rc == FC_STEP_DONE);
  return 1 + push_first(L, &box->reactor);
}

/***
Wait for a key, or one of two, where nobody else has anything to do: until anything fires, the deadline comes or a signal does.
What fired first is taken when it is one of them; all else stays, what went wrong too, for `step` to find.
@function reactor:await
@number deadline a time of core.now()
@int key
@int[opt] other a second key
@treturn boolean whether one of them fired
*/
static int reactor_await (lua_State *L) {
  fc_reactor *reactor = &fc_check_reactor(L, 1)->reactor;
  double deadline = luaL_checknumber(L, 2);
  lua_Integer key = luaL_checkinteger(L, 3), other = luaL_optinteger(L, 4, key);
  fc_error err;
  int64_t first = fc_reactor_await(reactor, deadline, &err) < 0 ? 0 : fc_reactor_first(reactor);
  bool fired = first != 0 && (first == key || first == other);
  if (fired)
    fc_reactor_fired(reactor);
  lua_pushboolean(L, fired);
  return 1;
}

/***
Take the key of what has fired first.
@function reactor:fired
@treturn ?integer the key; nil when nothing (more) has fired
*/
static int reactor_fired (lua_State *L) {
  fc_reactor *reactor = &fc_check_reactor(L, 1)->reactor;
  int64_t key = fc_reactor_fired(reactor);
  if (key == 0)
    return 0;
  lua_pushinteger(L, key);
  return 1;
}

/***
Take a key that was told of off the queue, unless its handle was closed meanwhile and another is first.
@function reactor:told
@int key
@treturn ?integer the key of what is first now, which stays there
*/
static int reactor_told (lua_State *L) {
  fc_reactor *reactor = &fc_check_reactor(L, 1)->reactor;
  if (fc_reactor_first(reactor) == luaL_checkinteger(L, 2))
    fc_reactor_fired(reactor);
  return push_first(L, reactor);
}

/***
A descriptor that is readable whenever a step would do something, for other event loops.
@function reactor:pollfd
@treturn[1] integer descriptor; it stays the reactor's
@return[2] nil
@return[2] err
*/
static int reactor_pollfd (lua_State *L) {
  fc_error err;
  int fd;
  if (fc_reactor_pollfd(&fc_check_reactor(L, 1)->reactor, &fd, &err) < 0)
    return fc_fail(L, &err);
  lua_pushinteger(L, fd);
  return 1;
}

/***
When the next timer is due.
@function reactor:timeout
@treturn ?number seconds from now, never negative; nil when no timer is armed
*/
static int reactor_timeout (lua_State *L) {
  double deadline = fc_reactor_deadline(&fc_check_reactor(L, 1)->reactor);
  if (deadline >= FC_NEVER)
    return 0;
  double span = deadline - fc_now();
  lua_pushnumber(L, span > 0 ? span : 0);
  return 1;
}

/***
The table in which the layer above keeps its tasks; the same for every copy of it in this state.
@function reactor:state
@treturn table
*/
static int reactor_state (lua_State *L) {
  fc_check_reactor(L, 1);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

/***
Whether this process opened it, and so may do more than close: one that the host program forked did not.
@function reactor:ours
@treturn boolean
*/
static int reactor_ours (lua_State *L) {
  lua_pushboolean(L, fc_reactor_is_ours(&fc_check_reactor(L, 1)->reactor));
  return 1;
}

static int reactor_gc (lua_State *L) {
  fc_reactor_box *box = luaL_checkudata(L, 1, FC_REACTOR_BOX);
  fc_watcher_close(&box->watcher);
  fc_reactor_close(&box->reactor);
  return 0;
}

static int reactor_tostring (lua_State *L) {
  fc_reactor_box *box = luaL_checkudata(L, 1, FC_REACTOR_BOX);
  lua_pushfstring(L, "<reactor, %d timers>", (int)box->reactor.heap_used);
  return 1;
}

/* ---- timers ---- */

static timer_box *check_timer (lua_State *L) {
  timer_box *box = luaL_checkudata(L, 1, TIMER_BOX);
  luaL_argcheck(L, box->reactor, 1, "closed timer");
  return box;
}

static void timer_fire (fc_timer *timer) {
  timer_box *box = (timer_box *)((char *)timer - offsetof(timer_box, timer));
  fc_wake_fire(box->reactor, &box->wake);
}

/***
A timer: fires its key once, at its deadline.
@function reactor:timer
@treturn[1] timer with the methods `arm(deadline)`, `disarm()`, `key()` and `close()`
@return[2] nil
@return[2] err
*/
static int reactor_timer (lua_State *L) {
  fc_reactor *reactor = &fc_check_reactor(L, 1)->reactor;
  timer_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (timer_box){0};
  luaL_setmetatable(L, TIMER_BOX);
  fc_error err;
  if (fc_timer_open(reactor, &box->timer, timer_fire, &err) < 0)
    return fc_fail(L, &err);
  fc_wake_open(reactor, &box->wake);
  box->reactor = reactor;
  return 1;
}

/***
Fire at a deadline instead of any earlier one.
@function timer:arm
@number deadline a time of core.now()
*/
static int timer_arm (lua_State *L) {
  timer_box *box = check_timer(L);
  double deadline = luaL_checknumber(L, 2);
  luaL_argcheck(L, deadline == deadline, 2, "not a number");
  fc_wake_close(box->reactor, &box->wake);
  fc_timer_arm(box->reactor, &box->timer, deadline);
  return 0;
}

/***
Do not fire; a firing that was not seen yet is taken back.
@function timer:disarm
*/
static int timer_disarm (lua_State *L) {
  timer_box *box = check_timer(L);
  fc_wake_close(box->reactor, &box->wake);
  fc_timer_disarm(box->reactor, &box->timer);
  return 0;
}

/***
The key it fires.
@function timer:key
@treturn integer
*/
static int timer_key (lua_State *L) {
  lua_pushinteger(L, check_timer(L)->wake.key);
  return 1;
}

/***
Give the timer up; closing twice is no error.
@function timer:close
*/
static int timer_close (lua_State *L) {
  timer_box *box = luaL_checkudata(L, 1, TIMER_BOX);
  if (box->reactor) {
    fc_wake_close(box->reactor, &box->wake);
    fc_timer_close(box->reactor, &box->timer);
    box->reactor = NULL;
  }
  return 0;
}

/***
The reactor of this Lua state; always the same one.
@function reactor
@treturn reactor
*/
static int core_reactor (lua_State *L) {
  fc_reactor_of(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
  return 1;
}

static void make_reactor (lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TUSERDATA) {
    lua_pop(L, 1);
    return;
  }
  fc_reactor_box *box = lua_newuserdatauv(L, sizeof *box, 2);   /* 1: state, 2: the http engine */
  memset(box, 0, sizeof *box);
  box->reactor.epoll_fd = box->reactor.timer_fd = box->watcher.fd = -1;
  snprintf(box->version, sizeof box->version, "%s", FC_VERSION);
  luaL_setmetatable(L, FC_REACTOR_BOX);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  fc_error err;
  if (fc_reactor_open(&box->reactor, &err) < 0)
    luaL_error(L, "firecracker: %s", err.message);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  lua_pop(L, 1);
}

int fc_open_reactor (lua_State *L) {
  static const luaL_Reg methods[] = {
      {"step", reactor_step},   {"await", reactor_await}, {"fired", reactor_fired}, {"told", reactor_told}, {"pollfd", reactor_pollfd}, {"timeout", reactor_timeout},
      {"state", reactor_state}, {"timer", reactor_timer}, {"ours", reactor_ours},     {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", reactor_gc}, {"__tostring", reactor_tostring}, {NULL, NULL}};
  static const luaL_Reg timer_methods[] = {
      {"arm", timer_arm}, {"disarm", timer_disarm}, {"key", timer_key}, {"close", timer_close}, {NULL, NULL}};
  static const luaL_Reg timer_metamethods[] = {{"__gc", timer_close}, {"__close", timer_close}, {NULL, NULL}};
  fc_new_metatable(L, FC_REACTOR_BOX, methods, metamethods);
  fc_new_metatable(L, TIMER_BOX, timer_methods, timer_metamethods);
  make_reactor(L);
  lua_pushcfunction(L, core_reactor);
  return 1;
}
