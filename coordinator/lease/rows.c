#include "lease/rows.h"

#include "base/limits.h"

#define MAX_HOLD_SECONDS_DEFAULT (24 * 3600)
#define EXPIRY_GRACE_SECONDS_DEFAULT 15

ProjectRow project_row_new(Slice name, int64_t created_ms) {
    return (ProjectRow){.name = name,
                        .prefix = SLICE_LITERAL("test-"),
                        .max_hold_seconds = MAX_HOLD_SECONDS_DEFAULT,
                        .expiry_grace_seconds = EXPIRY_GRACE_SECONDS_DEFAULT,
                        .created_ms = created_ms,
                        .first_unused = 1};
}

int64_t stack_number_of(Slice name) {
    int64_t number;
    size_t start = name.len;
    while (start > 0 && name.ptr[start - 1] >= '0' && name.ptr[start - 1] <= '9')
        start--;
    bool is_number = slice_to_number((Slice){.ptr = name.ptr + start, .len = name.len - start}, &number);
    return is_number && number <= ROW_NUMBER_MAX ? number : 0;
}

const char *const request_state_names[] = {
    [REQUEST_QUEUED] = "queued", [REQUEST_LIVE] = "live", [REQUEST_OVER] = "over", NULL};

const char *const request_why_names[] = {
    [WHY_NONE] = "",
    [WHY_RELEASED] = "released",
    [WHY_EXPIRED] = "expired",
    [WHY_FORCED] = "forced",
    [WHY_CANCELLED] = "cancelled",
    [WHY_ABANDONED] = "abandoned",
    [WHY_UNCOLLECTED] = "uncollected",
    NULL,
};

const char *const event_kind_names[] = {
    [EVENT_GRANTED] = "granted",
    [EVENT_JOINED] = "joined",
    [EVENT_DEPLOYED] = "deployed",
    [EVENT_RELEASED] = "released",
    [EVENT_FORCED] = "forced",
    [EVENT_CANCELLED] = "cancelled",
    [EVENT_DELETED] = "deleted",
    [EVENT_RETIRED] = "retired",
    [EVENT_QUARANTINED] = "quarantined",
    [EVENT_RESTORED] = "restored",
    [EVENT_ANNOTATED] = "annotated",
    [EVENT_PROJECT_CREATED] = "project-created",
    [EVENT_PROJECT_UPDATED] = "project-updated",
    [EVENT_PROJECT_DELETED] = "project-deleted",
    [EVENT_KEY_CREATED] = "key-created",
    [EVENT_KEY_REVOKED] = "key-revoked",
    [EVENT_QUEUED] = "queued",
    [EVENT_EXPIRED] = "expired",
    [EVENT_ABANDONED] = "abandoned",
    [EVENT_UNCOLLECTED] = "uncollected",
    [EVENT_RESTED] = "rested",
    [EVENT_KIND_COUNT] = NULL,
};
