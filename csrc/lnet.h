/* lnet: what the bindings of firecracker.core.net share. */
#ifndef FC_LNET_H
#define FC_LNET_H

#include "lcommon.h"
#include "sys/netlink_objects.h"

#define FC_NETLINK_BOX "firecracker.netlink"

#pragma GCC visibility push(hidden)

/* Argument 1 as an open netlink socket. */
fc_netlink *fc_check_netlink (lua_State *L);
/* Raise a message as it is. */
int fc_raise (lua_State *L, const char *message);

/* How a field of a table becomes a member of a struct. */
typedef enum {
  FC_FIELD_LINK,      /* const char *: the name of a link */
  FC_FIELD_MASTER,    /* the same; false: "" */
  FC_FIELD_TEXT,      /* const char * */
  FC_FIELD_FLAG,      /* bool */
  FC_FIELD_UP,        /* int: 1 or 0 */
  FC_FIELD_U32,       /* uint32_t */
  FC_FIELD_ID,        /* int64_t: a user's or a group's number */
  FC_FIELD_MAC,       /* fc_mac */
  FC_FIELD_HOST,      /* fc_address: of one host */
  FC_FIELD_BLOCK,     /* fc_address with its prefix; "default": family 0 */
  FC_FIELD_FD,        /* int: an open descriptor */
} fc_field_type;

typedef struct {
  const char *name;
  fc_field_type type;
  bool required;
  size_t offset;
} fc_field;

/* Read the table at `index` into a struct by a list that ends with a NULL name. What is missing, wrong, or in no list
 * raises. Texts stay alive while the table does. */
void fc_read_fields (lua_State *L, int index, const fc_field *fields, void *to);
/* The name of a link at `index`; raises about `field` for what cannot be one. */
const char *fc_check_link (lua_State *L, int index, const char *field);
/* The same of the argument at `index`; NULL when it is absent. */
const char *fc_optional_link (lua_State *L, int index);

/* How a member of a struct becomes a field of a table. */
typedef enum {
  FC_COLUMN_TEXT,     /* char[]; left out when empty */
  FC_COLUMN_WORD,     /* const char * */
  FC_COLUMN_FLAG,     /* bool */
  FC_COLUMN_U32,
  FC_COLUMN_U64,
  FC_COLUMN_ID,       /* int64_t; left out when negative */
} fc_column_type;

typedef struct {
  const char *name;
  fc_column_type type;
  size_t offset;
} fc_column;

/* Push a table made of a struct. */
void fc_push_row (lua_State *L, const fc_column *columns, const void *row);

/* Push a list of the rows of a buffer, each `size` bytes, or nil and an error object where rc is negative. */
int fc_push_rows (lua_State *L, int rc, const fc_buffer *rows, size_t size, const fc_column *columns,
                  const fc_error *err);

/* Sub-tables of firecracker.core.net: each pushes one table. */
int fc_open_netlink (lua_State *L);
int fc_open_netns (lua_State *L);

/* Add methods of netlink sockets to the table on the stack. */
void fc_add_links (lua_State *L);
void fc_add_addresses (lua_State *L);
void fc_add_redirects (lua_State *L);

#pragma GCC visibility pop
#endif
