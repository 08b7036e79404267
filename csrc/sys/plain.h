/* plain: text that is JSON as it is. Looking at it costs little more than the copy, and most of what is sent is plain. It
 * escapes nothing and checks no encoding. */
#ifndef FC_PLAIN_H
#define FC_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

/* Copy a text in which nothing needs an escape and no byte is NUL; false, with some of it copied, for any other. */
bool fc_plain_copy (char *to, const char *text, size_t length);

#pragma GCC visibility pop
#endif
