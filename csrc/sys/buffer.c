/* buffer: see buffer.h. */
#include "buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

char *fc_buffer_reserve (fc_buffer *b, size_t room) {
  if (room > SIZE_MAX / 4 || b->length > SIZE_MAX / 4)
    return NULL;
  if (b->start + b->length + room > b->capacity && b->start > 0) {
    memmove(b->data, b->data + b->start, b->length);
    b->start = 0;
  }
  if (b->length + room > b->capacity) {
    size_t capacity = b->capacity ? b->capacity : 512;
    while (capacity < b->length + room)
      capacity *= 2;
    char *data = realloc(b->data, capacity);
    if (!data)
      return NULL;
    b->data = data;
    b->capacity = capacity;
  }
  return b->data + b->start + b->length;
}

void fc_buffer_commit (fc_buffer *b, size_t n) {
  b->length += n;
}

int fc_buffer_append (fc_buffer *b, const char *bytes, size_t n) {
  if (n == 0)
    return 0;
  char *to = fc_buffer_reserve(b, n);
  if (!to)
    return -1;
  memcpy(to, bytes, n);
  b->length += n;
  return 0;
}

void fc_buffer_take (fc_buffer *b, size_t n) {
  n = n < b->length ? n : b->length;   /* a finalizer may have taken them while the caller made its string */
  b->length -= n;
  b->start = b->length ? b->start + n : 0;
}

void fc_buffer_clear (fc_buffer *b) {
  b->start = b->length = 0;
}

void fc_buffer_free (fc_buffer *b) {
  free(b->data);
  *b = (fc_buffer){0};
}
