/* What the option_*.c files share; nobody else includes it. */
#pragma once

#include "base/options.h"

#define SUGGESTION_DISTANCE_MAX 2

/* Marks the option's place in *values as neither given nor defaulted. */
void option_unset(const Option *option, void *values);
/* Stores one value spelt by the user as `name` (a flag or a variable); a list grows by it. 0 | OPTIONS_USAGE with what is
 * wrong appended to `complaint`. `value` stays borrowed. */
int option_store(const Option *option, const char *name, const char *value, void *values, Buffer *complaint) MUST_USE;
/* The same for a list whose words blanks separate. They are copied to **words, which moves on; it has room for
 * strlen(value) + 1. */
int option_store_words(const Option *option, const char *name, const char *value, char **words, void *values,
                       Buffer *complaint) MUST_USE;

/* The nearest name so far; start with {.distance = SUGGESTION_DISTANCE_MAX + 1}. */
typedef struct Suggestion {
    const char *name; /* NULL: nothing is near */
    size_t distance;
} Suggestion;
void suggestion_consider(Suggestion *best, Slice wanted, const char *candidate);

/* A verb's path is one word or two; the first verb with a first word opens the group of that word. */
Slice verb_first_word(const Verb *verb);
bool verb_has_second_word(const Verb *verb);
bool verb_opens_group(const Program *program, size_t index);

/* Cuts the next paragraph (up to an empty line) off *rest; false: nothing is left. One that begins with a blank is meant
 * to be shown as it is. */
bool next_paragraph(Slice *rest, Slice *paragraph);
/* "default 5m; STACK_AGENT_LEASE": what stands in parentheses behind an option's sentence; empty when there is nothing. */
void option_add_origins(const Option *option, Buffer *out);
