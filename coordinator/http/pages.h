/* The pages that are no operation: /healthz /readyz /metrics /openapi.json, and the agent's programs. */
#pragma once

#include "base/slice.h"

typedef enum PageId { PAGE_HEALTH, PAGE_READINESS, PAGE_METRICS, PAGE_OPENAPI, PAGE_AGENT, PAGE_COUNT } PageId;

/* PAGE_COUNT: no such page. `path` without query. Pages with an argument are folders: "/agent/" + *argument. */
PageId page_by_path(Slice path, Slice *argument);

typedef struct HttpContext HttpContext;
typedef struct Reply Reply;
/* Fills the answer; `argument` is the route's. Never fails: what goes wrong is an answer of its own. */
void page_answer(HttpContext *context, PageId page, const char *argument, Reply *reply);
