/* SPDX-License-Identifier: MIT */
/* Compiling in another process, when this one has made as many compiles as the system bears: `luamil compile FOLDER/model.mil`, which does
 * what we would do. What the system makes of a program outlives the process that asked for it, so this one loads it then.
 *
 * The process is spawned, not forked: a fork of one that used the engine is good for nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The system's, so declared before what hides our own. A Mac's shared libraries have no environ. */
#if defined(__APPLE__)
extern char ***_NSGetEnviron(void);
#define ENVIRONMENT (*_NSGetEnviron())
#else
extern char **environ;
#define ENVIRONMENT environ
#endif

#include "engine/ane/ane.h"

enum { MOST_WORDS = 400 };

/* The longest compile that somebody tells of took 162 (ANEForge); a route's lock is held meanwhile, so there is an end to waiting. */
unsigned mil__ane_child_seconds = 900;

static int64_t now(void) { /* milliseconds */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *command(void) {
    const char *set = getenv("MIL_COMMAND");
    return set && *set ? set : "luamil";
}

/* Whatever the host's thread keeps from itself, the other process is to be ended by who wants to. */
static int block_no_signals(posix_spawnattr_t *attributes) {
    sigset_t none;
    sigemptyset(&none);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    return error ? error : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK);
}

/* Its messages into the pipe, whatever else it prints nowhere. Gives 0, or an errno. */
static int spawn(char *const arguments[], int messages, pid_t *out) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = block_no_signals(&attributes);
        if (!error) error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (!error) error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (!error) error = posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
        if (!error) error = posix_spawnp(out, arguments[0], &actions, &attributes, arguments, ENVIRONMENT);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Is there something to read before the time is over? */
static bool has_more(int pipe, int64_t deadline) {
    struct pollfd fd = {.fd = pipe, .events = POLLIN};
    for (int64_t left; (left = deadline - now()) > 0;) {
        int ready = poll(&fd, 1, left < 1000 ? (int)left : 1000);
        if (ready != 0 && !(ready < 0 && errno == EINTR)) return ready > 0;
    }
    return false;
}

/* The beginning of what comes, on one line; to its end, so that the other side never waits. */
static void read_messages(int pipe, int64_t deadline, char *words, size_t room) {
    char more[512];
    size_t n = 0;
    for (ssize_t got; has_more(pipe, deadline) && ((got = read(pipe, more, sizeof more)) > 0 || (got < 0 && errno == EINTR));)
        for (ssize_t i = 0; i < got && n + 1 < room; i++) words[n++] = more[i] == '\n' || more[i] == '\r' ? ' ' : more[i];
    while (n > 0 && words[n - 1] == ' ') n--;
    words[n] = 0;
}

/* Where the host has arranged that nobody can wait for its children, it may have gone well. */
static int wait_for(pid_t child, int64_t deadline, bool *is_late) {
    enum { PAUSE = 2000000 }; /* nanoseconds: it has closed its messages, and is about to end */
    int status;
    for (pid_t ended; (ended = waitpid(child, &status, *is_late ? 0 : WNOHANG)) != child;) {
        if (ended < 0 && errno != EINTR) return 0;
        if (ended == 0 && now() >= deadline) *is_late = kill(child, SIGKILL) == 0;
        else if (ended == 0) nanosleep(&(struct timespec){0, PAUSE}, NULL);
    }
    return status;
}

static mil_status judge(int status, bool is_late, const char *words, mil_error *err) {
    if (is_late)
        return mil__fail(err, MIL_EIO, "compile: the process that was to compile the program (%s) did not end within %u s, and was ended", command(),
                         mil__ane_child_seconds);
    if (WIFSIGNALED(status))
        return mil__fail(err, MIL_EIO, "compile: the process that was to compile the program (%s) died of signal %d, %s%s%s", command(), WTERMSIG(status),
                         strsignal(WTERMSIG(status)), *words ? ": " : "", words);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return mil__fail(err, WEXITSTATUS(status) == 1 ? MIL_EUNSUPPORTED : MIL_EIO, "compile, in another process (%s): %s", command(),
                         *words ? words : "it failed and said nothing");
    return MIL_OK;
}

/* In a host that has closed its standard streams a pipe gets their numbers, which are others' in the other process. */
static int open_pipe(int ends[2]) {
    int made[2], error = 0;
    if (pipe(made) != 0) return errno;
    for (int i = 0; i < 2; i++) {
        fcntl(made[i], F_SETFD, FD_CLOEXEC);
        ends[i] = fcntl(made[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (ends[i] < 0) error = errno;
    }
    for (int i = 0; i < 2; i++) {
        close(made[i]);
        if (error && ends[i] >= 0) close(ends[i]);
    }
    return error;
}

mil_status mil__ane_compile_in_child(const char *folder, unsigned qos, mil_error *err) {
    char path[1100], number[16], words[MOST_WORDS];
    char *const arguments[] = {(char *)command(), "compile", path, "--route", "direct", "--qos", number, NULL};
    int ends[2], error = open_pipe(ends);
    int64_t deadline = now() + (int64_t)mil__ane_child_seconds * 1000;
    bool is_late = false;
    pid_t child;
    snprintf(path, sizeof path, "%s/model.mil", folder);
    snprintf(number, sizeof number, "%u", qos);
    if (!error) {
        error = spawn(arguments, ends[1], &child);
        close(ends[1]);
        if (!error) read_messages(ends[0], deadline, words, sizeof words);
        close(ends[0]);
    }
    int status = error ? 0 : wait_for(child, deadline, &is_late);
    if (!error) return judge(status, is_late, words, err);
    return mil__fail(err, MIL_ELIMIT, "compile: this process can compile no more programs for the Neural Engine, and %s, which would in its place, can't be started: %s "
                     "(MIL_COMMAND may name another)", command(), strerror(error));
}
