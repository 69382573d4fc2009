/* keep: what keeps a lease alive behind `request` and `join`; see keeper.h. Not for people. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>

#include "agent/command.h"
#include "agent/give_back.h"
#include "agent/job_process.h"
#include "agent/limits.h"
#include "agent/renewal.h"
#include "agent/stop_signals.h"
#include "agent/wake.h"
#include "base/program.h"

typedef struct Keeper {
    Agent agent; /* ours: it logs with dates */
    StateFolder folder;
    Slice request_id;
    JobProcess job;
    LeaseState state;
    StopSignals signals;
    Session session;
    Renewal renewal;
    Wake wake;
    bool has_job_ended;
    int folder_fd, job_fd; /* an inotify and a pidfd; -1: this machine has none, so one looks now and then */
} Keeper;

static void keeper_deinit(Keeper *k) {
    wake_close(&k->wake);
    closep(&k->folder_fd);
    closep(&k->job_fd);
    renewal_deinit(&k->renewal);
    session_close(&k->session);
    stop_signals_close(&k->signals);
    lease_state_deinit(&k->state);
    state_folder_close(&k->folder);
}

static int read_words(Keeper *k) {
    const Agent *agent = &k->agent;
    int64_t pid = 0, started = 0;
    k->request_id = slice_of(agent->arguments[0]);
    if (!slice_to_number(slice_of(agent->arguments[1]), &pid) ||
        !slice_to_number(slice_of(agent->arguments[2]), &started))
        return agent_fail(agent, EX_USAGE, "this verb is not for people: `stack-agent request` starts it");
    k->job = (JobProcess){.pid = (pid_t)pid, .started = (unsigned long long)started};
    return 0;
}

/* The watch comes before the first look, so that no end goes by unseen. 0 | STATE_ABSENT | an exit code, said | -errno */
static int open_state(Keeper *k) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    int r = state_open(&k->agent, false, &k->folder);
    if (r != 0 || k->folder.fd < 0)
        return r != 0 ? r : STATE_ABSENT;
    k->folder_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (k->folder_fd >= 0 && inotify_add_watch(k->folder_fd, k->folder.path, IN_DELETE | IN_MOVE | IN_DELETE_SELF) < 0)
        closep(&k->folder_fd);
    r = lease_state_load(&k->folder, k->request_id, &k->state, &reason);
    if (r == STATE_REFUSED)
        return agent_fail(&k->agent, EX_SOFTWARE, "%s", buffer_text(&reason));
    bool is_ours = r == 0 && !slice_is_absent(k->state.secret) && k->state.lease_seconds != FIELD_ABSENT;
    return r != 0 || is_ours ? r : STATE_ABSENT;
}

static int open_rest(Keeper *k) {
    int r = stop_signals_open(&k->signals);
    if (r == 0)
        r = session_open(&k->session, &k->agent, k->state.urls, k->state.ca_file);
    if (r == 0)
        r = wake_open(&k->wake);
    if (r != 0)
        return r;
    k->job_fd = k->job.pid > 0 ? job_process_open(&k->job) : -1;
    int fds[] = {k->signals.fd, k->folder_fd, k->job_fd};
    for (size_t i = 0; i < COUNT_OF(fds) && r == 0; i++)
        r = wake_add(&k->wake, fds[i]);
    renewal_init(&k->renewal, &k->session, &k->state, clock_boot_ms(k->agent.clock));
    return r;
}

static void drain(int fd) {
    char events[4096];
    while (fd >= 0 && read(fd, events, sizeof events) > 0)
        continue;
}

/* NULL: go on; else why it is over. */
static const char *find_end(Keeper *k) {
    drain(k->folder_fd);
    if (!lease_state_exists(&k->folder, k->request_id))
        return "it was given back or handed over";
    k->has_job_ended = k->job.pid > 0 && !job_process_is_alive("/proc", &k->job);
    if (k->has_job_ended)
        return "the job's process has ended: the lease runs out now";
    if (stop_signals_take(&k->signals) != 0)
        return "told to stop: the lease runs out now";
    return NULL;
}

static void mark_lost(LeaseState *state, const void *arg) {
    const json_t *said = arg;
    Slice why = reply_text(said, "why");
    state->lost_why = why.len > 0 ? why : slice_of("unknown");
    state->lost_by = reply_text(said, "by");
    state->lost_at = reply_text(said, "at");
}

/* Loud, and where the job's next `check` finds it. */
static int end_lost(Keeper *k) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    const Reply *reply = &k->renewal.reply;
    if (renewal_was_given_back(&k->renewal, &k->folder, k->request_id))
        return 0;
    int r = lease_state_change(&k->folder, k->request_id, mark_lost, reply->raw.json, &reason);
    if (r < 0)
        agent_say(&k->agent, LOG_ERROR, "the loss cannot be noted: %s", strerror(-r));
    return reply_fail(&k->agent, reply, "LOST: the lease cannot be renewed");
}

static void set_left(LeaseState *state, const void *arg) {
    (void)arg;
    state->is_left = true;
}

/* The file stays: it may be released still, until it has run out. */
static int end_kept(Keeper *k, const char *why) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    agent_say(&k->agent, LOG_INFO, "%.*s is not kept any longer: %s", SLICE_PRINT(k->state.stack), why);
    int r = k->has_job_ended ? lease_state_change(&k->folder, k->request_id, set_left, NULL, &reason) : 0;
    return r < 0 ? r : 0;
}

static int64_t next_wake(const Keeper *k) {
    bool must_look = k->folder_fd < 0 || (k->job.pid > 0 && k->job_fd < 0);
    int64_t look_ms = must_look ? clock_boot_ms(k->agent.clock) + LOOK_AGAIN_MS : CLOCK_FOREVER;
    return look_ms < k->renewal.times.next_ms ? look_ms : k->renewal.times.next_ms;
}

static int keep(Keeper *k) {
    const Slice stack = k->state.stack;
    agent_say(&k->agent, LOG_INFO, "keeping %.*s for process %d", SLICE_PRINT(stack), (int)k->job.pid);
    for (;;) {
        const char *end = find_end(k);
        if (end != NULL)
            return end_kept(k, end);
        if (clock_boot_ms(k->agent.clock) < k->renewal.times.next_ms) {
            wake_at(&k->wake, next_wake(k));
            int r = wake_wait(&k->wake, -1);
            if (r != 0)
                return r;
            continue;
        }
        wake_at(&k->wake, CLOCK_FOREVER);
        if (renewal_try(&k->renewal, k->wake.fd) == RENEWAL_LOST)
            return end_lost(k);
    }
}

int command_keep(const Agent *agent) {
    program_close_from(STDERR_FILENO + 1);
    OWN(keeper_deinit)
    Keeper k = {.agent = *agent,
                .folder = STATE_FOLDER_CLOSED,
                .state = LEASE_STATE_EMPTY,
                .signals = {.fd = -1},
                .wake = WAKE_CLOSED,
                .folder_fd = -1,
                .job_fd = -1};
    k.agent.log.style = LOG_JSON;
    int r = read_words(&k);
    if (r == 0)
        r = open_state(&k);
    if (r == STATE_ABSENT)
        return 0; /* given back already */
    if (r == 0)
        r = chdir("/") == 0 ? 0 : -errno; /* the job's folders may go */
    if (r == 0)
        r = open_rest(&k);
    return r == 0 ? keep(&k) : r;
}
