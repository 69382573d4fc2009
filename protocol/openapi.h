/* openapi.json and the reference, derived from the tables: operations × field schemas × outcomes. */
#pragma once

#include "base/buffer.h"

/* An OpenAPI 3.1 document of what HTTP offers (not the control socket's operations). */
void openapi_write(const char *version, Buffer *out);
/* The part of protocol/PROTOCOL.md between its `operations` markers (operations, objects, outcomes) as Markdown; a test
 * compares it with the page. */
void reference_write(Buffer *out);
