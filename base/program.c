/* The beginning of a program; see the header. */
#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/json_guard.h"

#define TEXT_MAX ((size_t)1024 * 1024) /* of a help or manual page, or a completion script */

/* Else a file of ours could become descriptor 1 or 2, and what is printed or logged would land in it. Nothing can be written
 * there: what was to be told to a closed descriptor was not told. */
static void ensure_standard_descriptors(void) {
    int fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY);
    closep(&fd);
}

void program_close_from(int first) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
#endif
    long highest = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < highest && fd < 65536; fd++)
        (void)close(fd);
}

/* A full disk or a closed pipe is the exit code's matter. */
static int print_text(Buffer *text, FILE *stream, int exit_code) {
    const char *words = buffer_text(text);
    bool is_printed = words != NULL && fputs(words, stream) != EOF && fflush(stream) != EOF;
    return is_printed ? exit_code : EX_SOFTWARE;
}

const char *program_environment(const char *name) {
    return getenv(name);
}

int program_start(const Program *program, int argc, char *const argv[], void *values, Parsed *parsed, int *exit_code) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, TEXT_MAX);
    ensure_standard_descriptors();
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that hangs up is an answer like another */
    (void)signal(SIGCHLD, SIG_DFL); /* whoever started us may ignore it, and the kernel then keeps no exit status */
    json_guard_init();
    int r = options_parse(program, argc, argv, program_environment, values, parsed, &text);
    switch (r) {
    case 0:
        return 0;
    case OPTIONS_EXIT:
        *exit_code = print_text(&text, stdout, 0);
        return PROGRAM_ENDED;
    case OPTIONS_USAGE:
        *exit_code = print_text(&text, stderr, EX_USAGE);
        return PROGRAM_ENDED;
    default:
        (void)fprintf(stderr, "%s: %s\n", program->name, strerror(-r));
        *exit_code = EX_SOFTWARE;
        return PROGRAM_ENDED;
    }
}
