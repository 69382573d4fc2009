/* openapi.json and the reference, derived from the tables: operations × field schemas × outcomes. */
#pragma once

#include "base/buffer.h"

/* An OpenAPI 3.1 document of what HTTP offers (not the control socket's operations). */
void openapi_write(const char *version, Buffer *out);
/* The operations' part of protocol/PROTOCOL.md as Markdown tables; a test compares it with the page. */
void reference_write(Buffer *out);
