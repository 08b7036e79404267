/* PID 1 of the guest: loads the drivers, and then either hands over to the root drive, when the kernel was given one
 * (its /sbin/init, whatever that is), or serves two vsock ports until Ctrl-Alt-Del:
 *   52   "COMMAND\n" is run by the shell: its output comes back, then "[exit N]\n" (128 + N: ended by signal N), the end
 *   53   what comes goes back
 * "guest ready UPTIME" on the console says that both listen. One connection, one process; nothing is checked: whoever
 * reaches the ports is root here. With "login" among the kernel's arguments a login prompt follows on ttyS0: root has no
 * password. It is /init of the initrd and /sbin/init of rootfs.ext4. Run by another than the kernel:
 *   init dial PORT COMMAND [ARGUMENT…]   connects to a port of the host's and runs a command on the connection */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMMAND_PORT = 52, ECHO_PORT = 53, BACKLOG = 64 };

static const char MODULES[] = "/m";   /* in the order in which they load; only the initrd has it */

/* One write a line: the kernel's own lines do not split it. */
__attribute__ ((format (printf, 1, 2))) static void say (const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (n < 0)
    return;
  if (n > (int)sizeof line - 2)
    n = sizeof line - 2;
  line[n] = '\n';
  if (write(STDOUT_FILENO, line, (size_t)n + 1) < 0)
    return;   /* no console: nobody to tell */
}

static void mount_basics (void) {
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sys", "/sys", "sysfs", 0, NULL);
  mount("tmp", "/tmp", "tmpfs", 0, "mode=1777");
  mount("run", "/run", "tmpfs", 0, "mode=755");
}

static void take_console (void) {
  int fd = open("/dev/console", O_RDWR);
  if (fd < 0)
    fd = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++)
    dup2(fd, i);
  if (fd > 2)
    close(fd);
}

static void load_modules (void) {
  glob_t found;
  if (glob("/m/*.ko", 0, NULL, &found) != 0)
    return;
  for (size_t i = 0; i < found.gl_pathc; i++) {
    int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
      say("init: %s: %s%s", found.gl_pathv[i], strerror(errno),
          errno == EPERM ? " (boot_args must not hold nomodule)" : "");
    if (fd >= 0)
      close(fd);
  }
  globfree(&found);
}

/* The first bytes of a file of the kernel's, as text. */
static void read_text (const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
  text[n > 0 ? n : 0] = '\0';
  if (fd >= 0)
    close(fd);
}

/* Go over to the drive that root= names. Comes back only when there is none. */
static void enter_root_drive (void) {
  char cmdline[4096], *drive = NULL, *save = NULL;
  bool writable = false;
  read_text("/proc/cmdline", cmdline, sizeof cmdline);
  for (char *word = strtok_r(cmdline, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
    if (strncmp(word, "root=", 5) == 0)
      drive = word + 5;
    else if (strcmp(word, "rw") == 0)
      writable = true;
    else if (strcmp(word, "ro") == 0)
      writable = false;
  }
  if (!drive)
    return;
  if (mount(drive, "/root", "ext4", writable ? 0 : MS_RDONLY, NULL) < 0) {
    say("init: cannot mount %s as the root: %s; staying in the initrd", drive, strerror(errno));
    return;
  }
  static const char *const moved[] = {"dev", "proc", "sys", "run"};
  for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
    char from[16], to[16];
    snprintf(from, sizeof from, "/%s", moved[i]);
    snprintf(to, sizeof to, "/root/%s", moved[i]);
    mount(from, to, NULL, MS_MOVE, NULL);
  }
  if (chdir("/root") == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0)
    execl("/sbin/init", "/sbin/init", (char *)NULL);
  say("init: cannot run /sbin/init of %s: %s", drive, strerror(errno));
  _exit(1);   /* panics the kernel, which reboots */
}

/* Run a command with its output on fd, and report its end there. */
static void run (const char *command, int fd) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  dprintf(fd, "[exit %d]\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void serve_command (int fd) {
  static char line[65536];
  for (size_t n = 0; n < sizeof line; n++) {
    if (read(fd, line + n, 1) != 1)
      return;
    if (line[n] == '\n') {
      line[n] = '\0';
      run(line, fd);
      return;
    }
  }
  dprintf(fd, "init: a command has at most %zu bytes\n[exit 126]\n", sizeof line - 1);
}

static void serve_echo (int fd) {
  static char bytes[65536];
  for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
    for (ssize_t sent = 0, m; sent < n; sent += m)
      if ((m = write(fd, bytes + sent, (size_t)(n - sent))) < 0)
        return;
}

/* Listen on a port; a process of its own accepts. */
static void serve (unsigned port, void (*serve_one) (int fd)) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0) {
    say("init: vsock port %u: %s", port, strerror(errno));
    return;
  }
  if (fork() == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGCHLD, SIG_IGN);   /* connections reap themselves */
    setsid();
    for (;;) {
      int fd = accept(listener, NULL, NULL);
      if (fd < 0)
        continue;
      if (fork() == 0) {
        signal(SIGCHLD, SIG_DFL);
        close(listener);
        serve_one(fd);
        _exit(0);
      }
      close(fd);
    }
  }
  close(listener);
}

static int dial (const char *port, char *const command[]) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = (unsigned)strtoul(port, NULL, 10)};
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    fprintf(stderr, "init: port %s of the host's: %s\n", port, strerror(errno));
    return 1;
  }
  dup2(fd, STDIN_FILENO);
  dup2(fd, STDOUT_FILENO);
  close(fd);
  execvp(command[0], command);
  perror(command[0]);
  return 127;
}

/* A login prompt on the serial port, and another when its session has ended. */
static void serve_login (void) {
  char cmdline[4096], *save = NULL;
  bool wanted = false;
  read_text("/proc/cmdline", cmdline, sizeof cmdline);
  for (char *word = strtok_r(cmdline, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
    wanted = wanted || strcmp(word, "login") == 0;
  if (!wanted || fork() != 0)
    return;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (;;) {
    if (fork() == 0) {
      setsid();
      execl("/bin/getty", "getty", "-L", "115200", "ttyS0", "vt100", (char *)NULL);
      _exit(127);
    }
    wait(NULL);
    sleep(1);
  }
}

/* Ctrl-Alt-Del: what is written stays written. */
static void restart (void) {
  say("guest stopping");
  kill(-1, SIGKILL);
  sync();
  mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
  reboot(RB_AUTOBOOT);
}

int main (int argc, char **argv) {
  if (argc > 3 && strcmp(argv[1], "dial") == 0)
    return dial(argv[2], argv + 3);
  if (getpid() != 1) {
    fputs("init: runs as PID 1 of a guest, or: init dial PORT COMMAND [ARGUMENT…]\n", stderr);
    return 2;
  }
  mount_basics();
  take_console();
  setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  if (access(MODULES, F_OK) == 0) {
    load_modules();
    enter_root_drive();
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  reboot(RB_DISABLE_CAD);   /* comes as SIGINT instead */
  serve(COMMAND_PORT, serve_command);
  serve(ECHO_PORT, serve_echo);

  char uptime[64];
  read_text("/proc/uptime", uptime, sizeof uptime);
  uptime[strcspn(uptime, " ")] = '\0';
  say("guest ready %s", uptime);
  serve_login();
  for (;;) {
    if (sigwaitinfo(&set, NULL) == SIGINT)
      restart();
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
  }
}
