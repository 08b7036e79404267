/* unload: preloaded behind a sanitizer's library, takes both out of the environment again, so that no child gets them. */
#include <stdlib.h>

__attribute__ ((constructor)) static void unload (void) {
  unsetenv("LD_PRELOAD");
}
