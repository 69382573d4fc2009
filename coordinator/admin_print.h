/*
 * Answers for people: texts and aligned tables. Outside text is escaped, so that nothing of it draws on the terminal.
 */
#pragma once

#include <jansson.h>

#include "client/views.h"
#include "coordinator/options.h"

/* Appends what the verb's answer says. `subject` is the verb's first argument, the project's name mostly. */
void admin_print(const CoordinatorOptions *options, const ViewStyle *style, VerbId verb, const char *subject,
                 const json_t *body, Buffer *out);
