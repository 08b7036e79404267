/* nat: the measure of NAT: nft run for set-up and for removal, its input through a pipe, nothing checked but its status.
 * Reads commands, one a line; answers each with names and microseconds: set_up, removal. To be started in a network
 * namespace of its own. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char set_up[] = "create table inet fc-bench\ntable inet fc-bench {\n chain postrouting {\n"
                             "  type nat hook postrouting priority 100; policy accept;\n"
                             "  ip saddr 10.0.0.2 ip daddr != 10.0.0.0/24 masquerade\n }\n chain forward {\n"
                             "  type filter hook forward priority 0; policy accept;\n"
                             "  iifname \"tap0\" ip saddr != { 10.0.0.2 } drop\n"
                             "  iifname \"tap0\" meta nfproto ipv6 drop\n }\n}\n";
static const char removal[] = "table inet fc-bench\ndelete table inet fc-bench\n";

static double now_us (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double nft (const char *path, const char *text) {
  double before = now_us();
  int ends[2], status;
  pid_t pid;
  char *argv[] = {"nft", "-f", "-", NULL};
  posix_spawn_file_actions_t actions;
  if (pipe(ends) < 0 || posix_spawn_file_actions_init(&actions) || posix_spawn_file_actions_adddup2(&actions, ends[0], 0) ||
      posix_spawn_file_actions_addclose(&actions, ends[0]) || posix_spawn_file_actions_addclose(&actions, ends[1]) ||
      posix_spawn(&pid, path, &actions, NULL, argv, environ))
    exit(2);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[0]);
  if (write(ends[1], text, strlen(text)) < 0)
    exit(2);
  close(ends[1]);
  if (waitpid(pid, &status, 0) != pid || status != 0)
    exit(2);
  return now_us() - before;
}

int main (int argc, char **argv) {
  char line[16];
  const char *path = argc > 1 ? argv[1] : "/usr/sbin/nft";
  while (fgets(line, sizeof line, stdin)) {
    double first = nft(path, set_up);
    printf("set_up %.1f removal %.1f\n", first, nft(path, removal));
    fflush(stdout);
  }
  return 0;
}
