/*
 * Lines by which a step speaks to GitHub's runner: `::error title=…::text`. Pure.
 */
#pragma once

#include "base/buffer.h"

/* One line. `title` may be NULL. Whatever `text` holds, it stays that line's text: control characters become visible. */
void workflow_command_add(Buffer *out, const char *command, const char *title, Slice text);
/* Lines that make the runner hide a secret, and each line of it, from here on. Nothing of an empty one. */
void workflow_command_mask(Buffer *out, Slice secret);
