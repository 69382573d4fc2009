/* A signalfd over blocked signals: nothing runs in a handler. */
#include "agent/stop_signals.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/signalfd.h>

static bool is_ignored(int number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int stop_signals_open(StopSignals *signals) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set, old;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (!is_ignored(numbers[i]))
            sigaddset(&set, numbers[i]);
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (sigprocmask(SIG_BLOCK, &set, &old) < 0) {
        int error = errno;
        closep(&fd);
        return -error;
    }
    *signals = (StopSignals){.fd = fd, .old = old};
    return 0;
}

int stop_signals_take(StopSignals *signals) {
    struct signalfd_siginfo info;
    ssize_t got = read(signals->fd, &info, sizeof info);
    return got == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void stop_signals_close(StopSignals *signals) {
    closep(&signals->fd);
}
