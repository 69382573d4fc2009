/* release: gives back this job's stack, and takes back requests whose answer never came. */
#include <errno.h>
#include <string.h>

#include "agent/ci.h"
#include "agent/command.h"
#include "agent/give_back.h"
#include "agent/lease_choice.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "protocol/rules.h"

typedef struct Release {
    const Agent *agent;
    Slice name;
    size_t count;  /* leases and requests found */
    int result;    /* the first exit code that is not 0 */
    json_t *ended; /* for programs: {"stackName", "outcome"} of each lease, {"requestId"} of a request taken back */
} Release;

static int note_ended(Release *release, const LeaseState *lease, GiveBack how) {
    bool is_granted = !slice_is_absent(lease->stack);
    json_t *item = is_granted ? json_pack("{s:s%, s:s}", "stackName", lease->stack.ptr, lease->stack.len, "outcome",
                                          release_outcome_names[how.outcome])
                              : json_pack("{s:s%}", "requestId", lease->request_id.ptr, lease->request_id.len);
    return json_array_append_new(release->ended, item) == 0 ? 0 : -ENOMEM;
}

static int end_one(Release *release, const StateFolder *folder, const LeaseState *lease, GiveBack how) {
    int r = give_back(release->agent, folder, lease, how);
    release->count++;
    if (release->result == 0 && r > 0)
        release->result = r;
    if (r == 0)
        r = note_ended(release, lease, how);
    return r < 0 ? r : 0;
}

/* Others work with the stack of a request that is not ours; who made it, or was told to, ends it. */
static int leave(Release *release, const StateFolder *folder, const LeaseState *lease) {
    release->count++;
    agent_say(release->agent, LOG_INFO,
              "%.*s is another job's: left to the jobs that share it (--joined releases it for all)",
              SLICE_PRINT(lease->stack));
    return lease_state_remove(folder, lease->request_id);
}

/* A job that did not get to its end, on a stack that had another commit: what is there now, nobody can say. */
static int judge(const AgentOptions *options, const LeaseState *lease) {
    bool has_failed = options->job_status != NULL && strcmp(options->job_status, "success") != 0;
    bool had_head = !slice_is_absent(lease->commit) && slice_equal(lease->commit, lease->last_deployed_commit);
    bool is_known = (had_head || lease->is_deployed) && !lease->is_deploy_needed;
    return has_failed && !is_known && options->outcome == RELEASE_OK ? RELEASE_DIRTY : options->outcome;
}

/* On one line and not too long: a word for people never keeps a stack leased. NULL: there is none. */
static const char *fit_note(const Release *release, Buffer *out) {
    Slice note = ci_cut(slice_of(release->agent->options->note), NOTE_MAX);
    for (size_t i = 0; i < note.len; i++)
        buffer_add_char(out, (unsigned char)note.ptr[i] < ' ' ? ' ' : note.ptr[i]);
    if (slice_is_absent(note))
        return NULL;
    if (rule_one_line(buffer_slice(out)) == NULL)
        return buffer_text(out);
    agent_say(release->agent, LOG_WARNING, "the note is left out: it is no UTF-8, or has control characters (--note)");
    return NULL;
}

static int end_chosen(Release *release, const StateFolder *folder, const LeaseState *lease) {
    const AgentOptions *options = release->agent->options;
    OWN(buffer_deinit) Buffer note;
    buffer_init(&note, NOTE_MAX + 1);
    if (lease->is_joined && !options->is_joined_too)
        return leave(release, folder, lease);
    GiveBack how = {.outcome = judge(options, lease), .note = fit_note(release, &note)};
    return end_one(release, folder, lease, how);
}

static int end_unanswered(Release *release, const StateFolder *folder, const LeaseState *lease) {
    if (!lease_is_attended(folder, lease->request_id))
        return end_one(release, folder, lease, (GiveBack){.outcome = RELEASE_OK});
    agent_say(release->agent, LOG_INFO, "another process here still waits for a stack: that request is left to it");
    return 0;
}

/* 0 | an exit code, said: nothing was done | -errno */
static int release_own(Release *release, const StateFolder *folder) {
    OWN(lease_states_deinit) LeaseStates leases = {.count = 0};
    const LeaseState *chosen = NULL;
    int r = lease_choice_load(release->agent, folder, &leases);
    if (r == 0)
        r = lease_choice_find(release->agent, &leases, release->name, &chosen);
    if (r == 0 && chosen != NULL)
        r = end_chosen(release, folder, chosen);
    for (size_t i = 0; i < leases.count && r == 0; i++)
        if (slice_is_absent(leases.items[i].stack) && slice_is_absent(release->name))
            r = end_unanswered(release, folder, &leases.items[i]);
    /* What cannot be read may be the lease that was meant. */
    if (r == 0 && release->count == 0 && leases.refused_count > 0)
        return EX_SOFTWARE;
    return r;
}

/* A `run` that was killed left its lease behind; what its command did, nobody knows. */
static int release_abandoned(void *arg, const StateFolder *folder) {
    Release *release = arg;
    OWN(lease_states_deinit) LeaseStates leases = {.count = 0};
    int r = lease_choice_load(release->agent, folder, &leases);
    for (size_t i = 0; i < leases.count && r == 0; i++) {
        bool is_meant = slice_is_absent(release->name) || slice_equal(release->name, leases.items[i].stack);
        if (is_meant)
            r = end_one(release, folder, &leases.items[i], (GiveBack){.outcome = RELEASE_DIRTY, .is_abandoned = true});
    }
    return r;
}

static void say_nothing_to_do(const Release *release) {
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    print_foreign(&name, release->name);
    agent_say(release->agent, LOG_INFO, "this job has no stack%s%s to give back", name.len > 0 ? " " : "",
              buffer_text(&name));
}

static int conclude(const Release *release) {
    if (release->count == 0)
        say_nothing_to_do(release);
    if (!release->agent->options->is_json)
        return release->result;
    OWN(json_decrefp) json_t *json = json_pack("{s:O}", "released", release->ended);
    int r = json != NULL ? print_json(release->agent, json) : -ENOMEM;
    return release->result != 0 ? release->result : r;
}

int command_release(const Agent *agent) {
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(json_decrefp) json_t *ended = json_array();
    Release release = {.agent = agent,
                       .name = agent->argument_count > 0 ? slice_of(agent->arguments[0]) : SLICE_ABSENT,
                       .ended = ended};
    if (ended == NULL)
        return -ENOMEM;
    int r = state_open(agent, false, &folder);
    if (r == 0 && folder.fd >= 0)
        r = release_own(&release, &folder);
    if (r == 0 && folder.fd >= 0)
        r = state_folder_visit_abandoned(&folder, release_abandoned, &release);
    return r != 0 ? r : conclude(&release);
}
