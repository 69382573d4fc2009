#include "lease/rows.h"

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
