#include "lease/choice.h"

#include "base/limits.h"

/* How near a free stack is to a request; each but FIT_NOT_FREE is one order of the store. */
typedef enum Fit { FIT_NOT_FREE, FIT_OTHER_BRANCH, FIT_BRANCH, FIT_COMMIT } Fit;

static Fit fit_of(const StackSlot *slot, Slice branch, Slice commit) {
    const StackRow *row = &slot->row;
    if (!is_free(row) || slot->change == ROW_DELETED || slot->change == ROW_VOID)
        return FIT_NOT_FREE;
    if (!slice_equal(row->branch, branch))
        return FIT_OTHER_BRANCH;
    if (slice_is_absent(commit) || row->is_content_unknown || !slice_equal(row->last_commit, commit))
        return FIT_BRANCH;
    return FIT_COMMIT;
}

/* Within one fit; generations never repeat, so there are no ties. */
static bool comes_first(Fit fit, const StackRow *a, const StackRow *b) {
    return fit == FIT_OTHER_BRANCH ? a->requested < b->requested : a->requested > b->requested;
}

static RowWant want_of(Fit fit, Slice branch, Slice commit) {
    switch (fit) {
    case FIT_COMMIT:
        return (RowWant){.query = ROWS_FREE_AT_COMMIT, .text = branch, .text2 = commit, .limit = 1};
    case FIT_BRANCH:
        return (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = branch, .limit = 1};
    case FIT_OTHER_BRANCH:
    case FIT_NOT_FREE:
    default:
        return (RowWant){.query = ROWS_FREE_OLDEST, .limit = 1};
    }
}

/* Without a commit there is no order by commit. */
static Fit best_fit(Slice commit) {
    return slice_is_absent(commit) ? FIT_BRANCH : FIT_COMMIT;
}

int64_t choice_ceiling(const ProjectRow *project) {
    return project->max_stacks != 0 && project->max_stacks < STACK_COUNT_MAX ? project->max_stacks : STACK_COUNT_MAX;
}

int choice_want(WorkingSet *set, Slice branch, Slice commit) {
    for (Fit fit = best_fit(commit); fit > FIT_NOT_FREE && !set->are_all_leased; fit--) {
        int r = working_set_want(set, want_of(fit, branch, commit));
        if (r < 0)
            return r;
    }
    return working_set_want(set, (RowWant){.query = ROWS_NUMBERS_UNUSED, .limit = 1});
}

/* The lowest unused number; 0: not known yet. Past the edge there may be lower ones than what the batch gave back. All
 * stacks of a project which the batch itself makes are in the set. */
static int64_t lowest_unused(WorkingSet *set, const RowWant *order) {
    if (order == NULL)
        return 0;
    int64_t number = working_set_unused(set);
    if (number == 0 && set->project_change == ROW_NEW && order->edge == 0) {
        number = set->project.first_unused;
        while (working_set_stack(set, number) != NULL)
            number++;
    }
    return order->edge == 0 || number <= order->edge ? number : 0;
}

static int choose_new(WorkingSet *set, Choice *out) {
    const RowWant want = {.query = ROWS_NUMBERS_UNUSED, .limit = 1};
    if (set->project.stack_count >= choice_ceiling(&set->project))
        return CHOICE_NONE;
    const RowWant *order = working_set_loaded(set, want);
    int64_t number = lowest_unused(set, order);
    if (number == 0) {
        if (order != NULL) /* the queue took more than the batch's own commands had asked for */
            working_set_want_past_edges(set);
        int r = working_set_want(set, want);
        return r < 0 ? r : CHOICE_NEEDS_ROWS;
    }
    *out = (Choice){.new_number = number};
    return 0;
}

/* Whether no row outside of the set can come before `best` (NULL: whether there is none outside) in the order of `fit`. */
static bool is_certain(const WorkingSet *set, Fit fit, const RowWant *order, const StackSlot *best) {
    if (set->are_all_leased)
        return true;
    if (order == NULL)
        return false;
    if (order->edge == 0)
        return true;
    return best != NULL && !comes_first(fit, &(StackRow){.requested = order->edge}, &best->row);
}

int choice_make(WorkingSet *set, Slice branch, Slice commit, Choice *out) {
    StackSlot *best[FIT_COMMIT + 1] = {NULL};
    for (size_t i = 0; i < set->stack_count; i++) {
        StackSlot *slot = set->stacks[i];
        Fit fit = fit_of(slot, branch, commit);
        if (best[fit] == NULL || comes_first(fit, &slot->row, &best[fit]->row))
            best[fit] = slot;
    }
    for (Fit fit = best_fit(commit); fit > FIT_NOT_FREE; fit--) {
        RowWant want = want_of(fit, branch, commit);
        const RowWant *order = working_set_loaded(set, want);
        if (!is_certain(set, fit, order, best[fit])) {
            if (order != NULL)
                working_set_want_past_edges(set);
            int r = working_set_want(set, want);
            return r < 0 ? r : CHOICE_NEEDS_ROWS;
        }
        if (best[fit] != NULL) {
            *out = (Choice){.slot = best[fit], .is_reused = fit != FIT_OTHER_BRANCH};
            return 0;
        }
    }
    return choose_new(set, out);
}
