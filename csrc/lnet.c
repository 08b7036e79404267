/* lnet: the module firecracker.core.net, network configuration. It is an object of its own because most machines need
 * no libmnl. @see csrc/lnet.h */
#include "lnet.h"

#include <string.h>

/***
Network configuration: `netlink`, `netns`. Loaded at the first use of `fc.net`.
@module firecracker.core.net
*/

/* ---- from Lua ---- */

fc_netlink *fc_check_netlink (lua_State *L) {
  fc_netlink *n = luaL_checkudata(L, 1, FC_NETLINK_BOX);
  luaL_argcheck(L, n->fd >= 0, 1, "closed network");
  return n;
}

int fc_raise (lua_State *L, const char *message) {
  lua_pushstring(L, message);
  return lua_error(L);
}

static int refuse (lua_State *L, const char *field, const char *expected, int index) {
  int type = lua_type(L, index);
  const char *got = type == LUA_TSTRING   ? lua_pushfstring(L, "'%s'", lua_tostring(L, index))
                    : type == LUA_TNUMBER ? luaL_tolstring(L, index, NULL)
                                          : luaL_typename(L, index);
  lua_pushfstring(L, "%s: %s expected, got %s", field, expected, got);
  return lua_error(L);
}

static const char *check_text (lua_State *L, int index, const char *field, const char *expected) {
  size_t length;
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &length) : NULL;
  if (!text || strlen(text) != length)
    refuse(L, field, expected, index);
  return text;
}

const char *fc_check_link (lua_State *L, int index, const char *field) {
  static const char expected[] = "name of a link (1 to 15 bytes without space, /, : and %)";
  const char *name = check_text(L, index, field, expected);
  size_t length = strlen(name);
  if (length == 0 || length >= FC_LINK_NAME || strpbrk(name, " \t\n\v\f\r/:%") || strcmp(name, ".") == 0 ||
      strcmp(name, "..") == 0)
    refuse(L, field, expected, index);
  return name;
}

const char *fc_optional_link (lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? NULL : fc_check_link(L, index, "link");
}

static lua_Integer check_number (lua_State *L, int index, const char *field, const char *expected) {
  lua_Integer n = lua_type(L, index) == LUA_TNUMBER && lua_isinteger(L, index) ? lua_tointeger(L, index) : -1;
  if (n < 0 || n > UINT32_MAX)
    refuse(L, field, expected, index);
  return n;
}

static void read_field (lua_State *L, const fc_field *f, void *to) {
  switch (f->type) {
    case FC_FIELD_LINK:
      *(const char **)to = fc_check_link(L, -1, f->name);
      break;
    case FC_FIELD_MASTER:
      *(const char **)to =
          lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1) ? "" : fc_check_link(L, -1, f->name);
      break;
    case FC_FIELD_TEXT:
      *(const char **)to = check_text(L, -1, f->name, "string");
      break;
    case FC_FIELD_FLAG:
    case FC_FIELD_UP:
      if (!lua_isboolean(L, -1))
        refuse(L, f->name, "boolean", -1);
      if (f->type == FC_FIELD_UP)
        *(int *)to = lua_toboolean(L, -1);
      else
        *(bool *)to = lua_toboolean(L, -1);
      break;
    case FC_FIELD_U32:
      *(uint32_t *)to = (uint32_t)check_number(L, -1, f->name, "integer from 0 to 4294967295");
      break;
    case FC_FIELD_ID:
      *(int64_t *)to = check_number(L, -1, f->name, "numeric id");
      break;
    case FC_FIELD_MAC:
      if (!fc_mac_parse(check_text(L, -1, f->name, "MAC address xx:xx:xx:xx:xx:xx"), to))
        refuse(L, f->name, "MAC address xx:xx:xx:xx:xx:xx", -1);
      break;
    case FC_FIELD_BLOCK:
      if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "default") == 0)
        break;
      if (!fc_address_parse(check_text(L, -1, f->name, "address or network ADDRESS/BITS"), to))
        refuse(L, f->name, "address or network ADDRESS/BITS", -1);
      break;
    case FC_FIELD_HOST: {
      const char *text = check_text(L, -1, f->name, "IP address");
      if (strchr(text, '/') || !fc_address_parse(text, to))
        refuse(L, f->name, "IP address", -1);
      break;
    }
    case FC_FIELD_FD: {
      const fc_fd_box *box = luaL_testudata(L, -1, FC_FD_BOX);
      if (!box || box->fd < 0)
        refuse(L, f->name, "open descriptor", -1);
      else
        *(int *)to = box->fd;
      break;
    }
  }
}

void fc_read_fields (lua_State *L, int index, const fc_field *fields, void *to) {
  if (!lua_istable(L, index))
    refuse(L, "options", "table", index);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    const fc_field *f = fields;
    while (f->name && strcmp(f->name, key) != 0)
      f++;
    if (!f->name) {
      lua_pushfstring(L, "%s: no such field", key);
      lua_error(L);
    }
  }
  for (const fc_field *f = fields; f->name; f++) {
    lua_pushstring(L, f->name);
    if (lua_rawget(L, index) != LUA_TNIL)
      read_field(L, f, (char *)to + f->offset);
    else if (f->required)
      refuse(L, f->name, "value", -1);
    lua_pop(L, 1);
  }
}

/* ---- to Lua ---- */

void fc_push_row (lua_State *L, const fc_column *columns, const void *row) {
  lua_createtable(L, 0, 8);
  for (const fc_column *c = columns; c->name; c++) {
    const char *at = (const char *)row + c->offset;
    switch (c->type) {
      case FC_COLUMN_TEXT:
        if (!*at)
          continue;
        lua_pushstring(L, at);
        break;
      case FC_COLUMN_WORD: lua_pushstring(L, *(const char *const *)at); break;
      case FC_COLUMN_FLAG: lua_pushboolean(L, *(const bool *)at); break;
      case FC_COLUMN_U32: lua_pushinteger(L, *(const uint32_t *)at); break;
      case FC_COLUMN_U64: lua_pushinteger(L, (lua_Integer)*(const uint64_t *)at); break;
      case FC_COLUMN_ID:
        if (*(const int64_t *)at < 0)
          continue;
        lua_pushinteger(L, *(const int64_t *)at);
        break;
    }
    lua_setfield(L, -2, c->name);
  }
}

int fc_push_rows (lua_State *L, int rc, const fc_buffer *rows, size_t size, const fc_column *columns,
                  const fc_error *err) {
  if (rc < 0)
    return fc_fail(L, err);
  const char *at = fc_buffer_bytes(rows);
  lua_createtable(L, (int)(rows->length / size), 0);
  for (lua_Integer i = 1; (size_t)i * size <= rows->length; i++, at += size) {
    fc_push_row(L, columns, at);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

LUAMOD_API __attribute__ ((visibility("default"))) int luaopen_firecracker_core_net (lua_State *L) {
  static const luaL_Reg parts[] = {{"netlink", fc_open_netlink}, {"netns", fc_open_netns}, {NULL, NULL}};
  luaL_checkversion(L);
  fc_open_fd(L);   /* loaded alone, there are no boxes yet */
  fc_open_scratch(L);
  lua_newtable(L);
  for (const luaL_Reg *part = parts; part->name; part++) {
    part->func(L);
    lua_setfield(L, -2, part->name);
  }
  return 1;
}
