/* plain: see plain.h. */
#include "plain.h"

#include <stdint.h>
#include <string.h>

/* Compilers make vector instructions of it for any processor. */
typedef unsigned char lanes __attribute__ ((vector_size(16)));

#define LANES sizeof(lanes)
#define BLOCK (4 * LANES)

/* Copies so many bytes; a lane is zero where its byte is plain. */
static lanes copy_lanes (char *to, const char *from) {
  lanes at;
  memcpy(&at, from, sizeof at);
  memcpy(to, &at, sizeof at);
  return (lanes)(at < ' ') | (lanes)(at == '"') | (lanes)(at == '\\');
}

static uint64_t copy_block (char *to, const char *from) {
  lanes odd = copy_lanes(to, from) | copy_lanes(to + LANES, from + LANES) | copy_lanes(to + 2 * LANES, from + 2 * LANES) |
              copy_lanes(to + 3 * LANES, from + 3 * LANES);
  uint64_t halves[2];
  memcpy(halves, &odd, sizeof halves);
  return halves[0] | halves[1];
}

bool fc_plain_copy (char *to, const char *text, size_t length) {
  for (; length >= BLOCK; text += BLOCK, to += BLOCK, length -= BLOCK)
    if (copy_block(to, text))
      return false;
  for (; length > 0; length--) {
    unsigned char c = (unsigned char)(*to++ = *text++);
    if (c < ' ' || c == '"' || c == '\\')
      return false;
  }
  return true;
}
