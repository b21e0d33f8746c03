/* SPDX-License-Identifier: MIT */
/* Drives a program in a pseudo-terminal, as a person at the keyboard would; for the REPL's specs.
 *
 *     pty SCRIPT COMMAND ARGS...          writes what the program wrote; exit status 0, or 1 where it went otherwise
 *
 * A line of the script is one of
 *     send TEXT          type it (escapes, here and below: \n Enter, \t Tab, \e Escape, \xHH, \\)
 *     expect TEXT        wait until the program has written it, behind what was expected before
 *     within MS TEXT     the same, in at most so many milliseconds
 *     never TEXT         it must not be in what was written since the last expect
 *     sleep MS
 *     status N           wait for the program's end: it must exit with N
 * Waiting ends after 10 seconds. Terminal sequences are taken out of what is compared and written. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 10000, ROOM = 1 << 20 };

static char seen[ROOM]; /* all that the program wrote, terminal sequences left out */
static size_t n_seen, from; /* up to `from` it was expected already */
static int terminal;
static pid_t child;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Keeps bytes that are no part of a terminal sequence (ESC [ ... letter, or ESC and one character) and no \r. */
static void keep(const char *bytes, size_t n) {
    static int state; /* 0: text, 1: after ESC, 2: inside ESC [ */
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        if (state == 1) {
            state = c == '[' ? 2 : 0;
        } else if (state == 2) {
            if (c >= 0x40 && c <= 0x7e) state = 0;
        } else if (c == 0x1b) {
            state = 1;
        } else if (c != '\r' && n_seen + 1 < ROOM) {
            seen[n_seen++] = c;
        }
    }
    seen[n_seen] = '\0';
}

/* Reads what is there, waiting up to ms; false at the end of output. */
static int take(int ms) {
    struct pollfd p = {.fd = terminal, .events = POLLIN};
    if (poll(&p, 1, ms) <= 0) return 1;
    char buf[4096];
    ssize_t n = read(terminal, buf, sizeof buf);
    if (n <= 0) return 0;
    keep(buf, (size_t)n);
    return 1;
}

static int fail(int line, const char *what, const char *text) {
    fprintf(stderr, "line %d of the script: %s %s\n---- written until then ----\n%s\n", line, what, text, seen);
    kill(child, SIGKILL);
    return 1;
}

static int hex(char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; }

static size_t unescape(char *text, int for_keyboard) {
    char *out = text;
    for (const char *p = text; *p; p++) {
        if (*p != '\\' || !p[1]) {
            *out++ = *p;
            continue;
        }
        switch (*++p) {
        case 'n': *out++ = for_keyboard ? '\r' : '\n'; break; /* what the Enter key sends */
        case 't': *out++ = '\t'; break;
        case 'e': *out++ = 0x1b; break;
        case 'x':
            *out++ = (char)(hex(p[1]) * 16 + hex(p[2]));
            p += 2;
            break;
        default: *out++ = *p;
        }
    }
    *out = '\0';
    return (size_t)(out - text);
}

static int send_text(char *text) {
    size_t n = unescape(text, 1);
    for (size_t done = 0; done < n;) {
        ssize_t k = write(terminal, text + done, n - done);
        if (k < 0 && errno != EINTR) return 0;
        if (k > 0) done += (size_t)k;
        while (take(0) && poll(&(struct pollfd){.fd = terminal, .events = POLLIN}, 1, 0) > 0) {}
    }
    return 1;
}

static int expect(const char *text, double ms) {
    for (double end = now_ms() + ms;;) {
        const char *at = strstr(seen + from, text);
        if (at) {
            from = (size_t)(at - seen) + strlen(text);
            return 1;
        }
        double left = end - now_ms();
        if (left <= 0) return 0;
        if (!take((int)left + 1)) return (at = strstr(seen + from, text)) != NULL;
    }
}

static int wait_for_end(int wanted) {
    double end = now_ms() + PATIENCE;
    int status = 0;
    while (now_ms() < end) {
        if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == wanted;
        if (!take(20)) usleep(2000);
    }
    return 0;
}

/* One line of the script; 0 or 1, as exit statuses are. */
static int step(int line, char *text) {
    text[strcspn(text, "\n")] = '\0';
    char *rest = strchr(text, ' ');
    if (!rest) return *text && *text != '#' ? fail(line, "not understood:", text) : 0;
    *rest++ = '\0';
    if (!strcmp(text, "send")) return send_text(rest) ? 0 : fail(line, "cannot send", rest);
    unescape(rest, 0);
    if (!strcmp(text, "expect")) return expect(rest, PATIENCE) ? 0 : fail(line, "waited in vain for", rest);
    if (!strcmp(text, "within")) {
        double ms = strtod(rest, &rest);
        return expect(rest + 1, ms) ? 0 : fail(line, "not in time:", rest + 1);
    }
    if (!strcmp(text, "never")) {
        take(50);
        return strstr(seen + from, rest) ? fail(line, "should not be there:", rest) : 0;
    }
    if (!strcmp(text, "sleep")) {
        for (double end = now_ms() + atof(rest); now_ms() < end;) take((int)(end - now_ms()) + 1);
        return 0;
    }
    if (!strcmp(text, "status")) return wait_for_end(atoi(rest)) ? 0 : fail(line, "did not exit with", rest);
    return *text == '#' ? 0 : fail(line, "not understood:", text);
}

static pid_t start(char **argv) {
    terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) return -1;
    const char *name = ptsname(terminal);
    pid_t pid = fork();
    if (pid != 0) return pid;
    setsid();
    int fd = open(name, O_RDWR);
    struct winsize size = {.ws_row = 40, .ws_col = 100};
    ioctl(fd, TIOCSCTTY, 0);
    ioctl(fd, TIOCSWINSZ, &size);
    for (int i = 0; i < 3; i++) dup2(fd, i);
    close(terminal);
    if (fd > 2) close(fd);
    execvp(argv[0], argv);
    _exit(127);
}

int main(int argc, char **argv) {
    FILE *script = argc > 2 ? fopen(argv[1], "r") : NULL;
    if (!script) {
        fprintf(stderr, "usage: pty SCRIPT COMMAND ARGS...\n");
        return 2;
    }
    child = start(argv + 2);
    if (child < 0) {
        perror("pty");
        return 2;
    }
    char text[4096];
    int result = 0;
    for (int line = 1; result == 0 && fgets(text, sizeof text, script); line++) result = step(line, text);
    fclose(script);
    kill(child, SIGKILL);
    if (result == 0) fputs(seen, stdout);
    return result;
}
