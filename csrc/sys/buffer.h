/* buffer: bytes that grow at the end and are taken from the front. Its memory is kept for the next
 * use; a zeroed fc_buffer is an empty one. */
#ifndef FC_BUFFER_H
#define FC_BUFFER_H

#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef struct {
  char *data;   /* the first byte not taken yet is data[start] */
  size_t start;
  size_t length;   /* bytes from start */
  size_t capacity;
} fc_buffer;

/* Room for at least `room` more bytes; returns where they go, NULL when out of memory. */
char *fc_buffer_reserve (fc_buffer *b, size_t room);
/* Count `n` bytes written behind the end (after fc_buffer_reserve). */
void fc_buffer_commit (fc_buffer *b, size_t n);
/* 0, or -1 when out of memory (the buffer is as before). */
int fc_buffer_append (fc_buffer *b, const char *bytes, size_t n);
/* Forget the first n bytes. */
void fc_buffer_take (fc_buffer *b, size_t n);
/* Forget all bytes, keep the memory. */
void fc_buffer_clear (fc_buffer *b);
/* Give the memory back; the buffer is empty and usable again. */
void fc_buffer_free (fc_buffer *b);
/* The bytes. */
static inline const char *fc_buffer_bytes (const fc_buffer *b) {
  return b->data ? b->data + b->start : "";
}

#pragma GCC visibility pop
#endif
