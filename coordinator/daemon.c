/* Signals are blocked before any library starts a thread, and taken by sigwait in one place. */
#include "coordinator/daemon.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/program.h"
#include "coordinator/admin.h"
#include "coordinator/notify.h"
#include "coordinator/store_choice.h"
#include "coordinator/transfer_verbs.h"

enum { EXIT_START = 1 };

#define BROKEN_SIGNAL SIGUSR1 /* how the worker's thread says that the store is broken for good */

/* --- serve --- */

static int usage(const char *sentence) {
    (void)fprintf(stderr, "%s: %s\n", coordinator_program.name, sentence);
    return EX_USAGE;
}

static bool has_tls_url(const OptionList *urls) {
    for (size_t i = 0; i < urls->count; i++)
        if (slice_starts_with(slice_of(urls->items[i]), "tls+"))
            return true;
    return false;
}

/* What the rows cannot say. 0 | EX_USAGE, told. */
static int check_options(const CoordinatorOptions *o) {
    bool has_cert = o->tls_cert != NULL;
    if (has_cert != (o->tls_key != NULL))
        return usage("--tls-cert and --tls-key go together");
    if (o->https != NULL && !has_cert)
        return usage("--https needs --tls-cert and --tls-key");
    if (has_cert && o->https == NULL && !has_tls_url(&o->nng))
        return usage("--tls-cert and --tls-key serve --https and --nng tls+tcp:// alone, and neither is named");
    return 0;
}

/* 0 | an exit code, told. */
static int choose_store(const CoordinatorOptions *o, char **url) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, 4096);
    int r = store_choose(o, url, &reason);
    const char *sentence = buffer_text(&reason);
    if (r == 0)
        return 0;
    (void)usage(sentence != NULL && *sentence != '\0' ? sentence : strerror(-r));
    return r == -EINVAL ? EX_USAGE : EXIT_START;
}

static void wanted_signals(sigset_t *set) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, BROKEN_SIGNAL};
    (void)sigemptyset(set);
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        (void)sigaddset(set, signals[i]);
}

static void tell_broken(void *argument) {
    (void)argument;
    (void)kill(getpid(), BROKEN_SIGNAL);
}

/* From here on TERM and INT end the process at once. */
static void stop_being_patient(void) {
    sigset_t impatient;
    (void)sigemptyset(&impatient);
    (void)sigaddset(&impatient, SIGTERM);
    (void)sigaddset(&impatient, SIGINT);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &impatient, NULL);
}

/* Until it is told to end: the exit code. */
static int wait_for_end(Coordinator *coordinator, const sigset_t *signals, const Logger *log) {
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0)
            continue;
        if (number == SIGHUP) {
            coordinator_reload_tls(coordinator);
            continue;
        }
        if (number == BROKEN_SIGNAL) {
            LOG(log, LOG_ERROR, "the store is broken: ending, so that a restart can recover from what is on disk");
            return EXIT_START;
        }
        LOG(log, LOG_INFO, "draining", log_string("signal", number == SIGTERM ? "TERM" : "INT"));
        return 0;
    }
}

static int serve(const CoordinatorOptions *options, const char *data_dir, const CoordinatorDeps *outside) {
    OWN(freep) char *store_url = NULL;
    int wrong = check_options(options);
    if (wrong == 0)
        wrong = choose_store(options, &store_url);
    if (wrong != 0)
        return wrong;
    sigset_t signals;
    wanted_signals(&signals);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)umask(027); /* the database holds secrets of leases: nothing for others */

    const Logger log = {.fd = STDERR_FILENO,
                        .level = (LogLevel)options->log_level,
                        .style = (LogStyle)options->log_style,
                        .clock = outside->clock,
                        .name = coordinator_program.name};
    CoordinatorDeps deps = *outside;
    deps.options = options;
    deps.data_dir = data_dir;
    deps.store_url = store_url;
    deps.log = &log;
    deps.on_broken = tell_broken;
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, 4096);
    Coordinator *coordinator = NULL;
    int error = coordinator_new(&coordinator, &deps, &reason);
    if (error != 0) {
        const char *sentence = reason.len > 0 ? buffer_text(&reason) : strerror(-error);
        LOG(&log, LOG_ERROR, "cannot start", log_string("reason", sentence));
        return EXIT_START;
    }
    notify_ready();
    int code = wait_for_end(coordinator, &signals, &log);
    notify_stopping();
    stop_being_patient();
    coordinator = coordinator_free(coordinator);
    LOG(&log, LOG_INFO, "ended", log_number("code", code));
    return code;
}

static int run(const CoordinatorOptions *options, const Parsed *parsed, const CoordinatorDeps *outside) {
    OWN(freep) char *data_dir = options_data_dir(options, geteuid(), program_environment);
    if (data_dir == NULL)
        return usage("there is no home folder to keep data in: say where with --data");
    if (parsed->verb->id == VERB_SERVE)
        return serve(options, data_dir, outside);
    const Admin admin = {.options = options,
                         .verb = (VerbId)parsed->verb->id,
                         .arguments = parsed->arguments,
                         .argument_count = parsed->argument_count,
                         .data_dir = data_dir,
                         .input = stdin,
                         .output = stdout,
                         .errors = stderr};
    if (admin.verb == VERB_EXPORT || admin.verb == VERB_IMPORT)
        return transfer_run(&admin, outside);
    return admin_run(&admin);
}

int daemon_main(int argc, char *argv[], const CoordinatorDeps *outside) {
    CoordinatorOptions options = {.is_json = false};
    OWN(parsed_deinit) Parsed parsed = {.verb = NULL};
    int exit_code = 0;
    int r = program_start(&coordinator_program, argc, argv, &options, &parsed, &exit_code);
    return r == 0 ? run(&options, &parsed, outside) : exit_code;
}
