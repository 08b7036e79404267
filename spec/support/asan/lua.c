/* lua: the interpreter with the sanitizers' libraries preloaded. No shell script: a shell changes dispositions, and
 * speaks up where the working directory is gone. */
#include <stdlib.h>
#include <unistd.h>

int main (int count, char **arguments) {
  (void)count;
  setenv("LD_PRELOAD", PRELOAD, 1);
  execv(INTERPRETER, arguments);
  return 127;
}
