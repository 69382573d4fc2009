#include "service/publish.h"

static void count_stack(const Publisher *p, const StackSlot *slot) {
    bool was_there = slot->change != ROW_NEW, is_there = slot->change != ROW_DELETED;
    metrics_stack_moved(p->metrics, was_there ? slot->loaded_state : STACK_GONE,
                        is_there ? slot->row.state : STACK_GONE);
}

/* A generation is the wall clock of its grant, or a little more. */
static void count_event(const Publisher *p, const EventRow *event) {
    switch ((EventKind)event->kind) {
    case EVENT_EXPIRED:
        metrics_mishap(p->metrics, MISHAP_LOST);
        metrics_held(p->metrics, event->at_ms - event->generation);
        break;
    case EVENT_UNCOLLECTED:
        metrics_mishap(p->metrics, MISHAP_UNCOLLECTED);
        break;
    case EVENT_ABANDONED:
        metrics_mishap(p->metrics, MISHAP_ABANDONED);
        break;
    case EVENT_RELEASED:
    case EVENT_FORCED:
        metrics_held(p->metrics, event->at_ms - event->generation);
        break;
    case EVENT_GRANTED:
    case EVENT_JOINED:
    case EVENT_DEPLOYED:
    case EVENT_CANCELLED:
    case EVENT_DELETED:
    case EVENT_RETIRED:
    case EVENT_QUARANTINED:
    case EVENT_RESTORED:
    case EVENT_ANNOTATED:
    case EVENT_PROJECT_CREATED:
    case EVENT_PROJECT_UPDATED:
    case EVENT_PROJECT_DELETED:
    case EVENT_KEY_CREATED:
    case EVENT_KEY_REVOKED:
    case EVENT_QUEUED:
    case EVENT_RESTED:
    case EVENT_KIND_COUNT:
    default:
        break;
    }
}

static void follow_stacks(const Publisher *p, const WorkingSet *set) {
    for (size_t i = 0; i < set->stack_count; i++) {
        const StackSlot *slot = set->stacks[i];
        if (slot->change == ROW_CLEAN || slot->change == ROW_VOID)
            continue;
        count_stack(p, slot);
        StackRow row = slot->row;
        if (slot->change == ROW_DELETED)
            row.state = STACK_GONE;
        watch_follow_stack(p->watch, &set->project, &row, slot->loaded_renewals, slot->is_granted);
    }
}

static void follow_requests(const Publisher *p, const WorkingSet *set, int64_t wall_ms) {
    for (size_t i = 0; i < set->request_count; i++) {
        const RequestSlot *slot = set->requests[i];
        if (slot->change == ROW_CLEAN)
            continue;
        watch_follow_request(p->watch, &set->project, &slot->row);
        if (slot->row.state != REQUEST_QUEUED)
            (void)waiters_wake(p->waiters, set->project_name, slot->row.ticket, slot->row.stack_number);
    }
    for (size_t i = 0; i < set->granted_count; i++) {
        const RequestSlot *slot = working_set_request((WorkingSet *)set, set->granted[i]);
        if (slot != NULL)
            metrics_waited(p->metrics, wall_ms - slot->row.created_ms);
    }
}

static void follow_sets(const Publisher *p, const Batch *batch, const Moment *moment) {
    for (size_t i = 0; i < batch->set_count; i++) {
        WorkingSet *set = batch->sets[i];
        if (!working_set_is_changed(set))
            continue;
        snapshots_drop(p->snapshots, set->project_name);
        follow_stacks(p, set);
        follow_requests(p, set, moment->wall_ms);
        for (size_t e = 0; e < set->event_count; e++)
            count_event(p, &set->events[e]);
        for (size_t k = 0; k < set->key_count; k++)
            if (set->keys[k]->change != ROW_CLEAN)
                keys_forget(p->keys, set->keys[k]->row.id);
        if (set->project_change != ROW_CLEAN && set->project.is_deleted)
            keys_forget_project(p->keys, set->project_name);
    }
}

static void follow_renewal(const Publisher *p, const Batch *batch, const Work *work) {
    const Command *c = &work->command;
    if (c->operation != OP_RENEW_LEASE || work->outcome != OUTCOME_DONE)
        return;
    WorkingSet *set = batch_set(batch, c->project);
    const RequestSlot *request = set != NULL ? working_set_request(set, c->lease_ref.ticket) : NULL;
    if (c->lease_seconds == FIELD_ABSENT && request != NULL)
        watch_asked(p->watch, c->project, c->lease_ref, request->row.lease_seconds);
    watch_renewed(p->watch, c->project, c->lease_ref, c->lease_seconds);
    snapshots_drop(p->snapshots, c->project);
}

static void follow_signs_of_life(const Publisher *p, const Work *work) {
    const Command *c = &work->command;
    if (work->outcome == OUTCOME_QUEUED)
        watch_heard(p->watch, c->project, work->answered_ref.ticket);
    else if (work->outcome == OUTCOME_LEASE_LOST)
        watch_told(p->watch, c->project, work->answered_ref.ticket);
}

/* What was due did not come about, where another coordinator was there first: the watch sees the rows as they are. */
static void follow_due(const Publisher *p, const Batch *batch, const WatchDue *due) {
    WorkingSet *set = batch_set(batch, due->project);
    const Due *d = &due->due;
    if (set == NULL)
        return;
    const StackSlot *stack = d->stack_number != 0 ? working_set_stack(set, d->stack_number) : NULL;
    const RequestSlot *request = d->ticket != 0 ? working_set_request(set, d->ticket) : NULL;
    if (d->stack_number != 0 && (stack == NULL || stack->change == ROW_CLEAN)) {
        const StackRow gone = {.number = d->stack_number, .state = STACK_GONE};
        const StackRow *row = stack != NULL ? &stack->row : &gone;
        watch_follow_stack(p->watch, &set->project, row, row->renewals, false);
    } else if (d->stack_number == 0 && (request == NULL || request->change == ROW_CLEAN)) {
        const RequestRow over = {.ticket = d->ticket, .state = REQUEST_OVER};
        const RequestRow *row = request != NULL ? &request->row : &over;
        watch_follow_request(p->watch, &set->project, row);
        if (row->state != REQUEST_QUEUED)
            (void)waiters_wake(p->waiters, set->project_name, d->ticket, row->stack_number);
    }
}

/* Renewals first: what one gave counts also where the same transaction ended its lease, for its holder was told so. */
void publish_batch(const Publisher *p, const Batch *batch, const Moment *moment, const BatchInput *input) {
    for (size_t i = 0; i < input->count; i++)
        follow_renewal(p, batch, input->works[i]);
    follow_sets(p, batch, moment);
    for (size_t i = 0; i < input->due_count; i++)
        follow_due(p, batch, &input->dues[i]);
    for (size_t i = 0; i < input->count; i++)
        follow_signs_of_life(p, input->works[i]);
}
