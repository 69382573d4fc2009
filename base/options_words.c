/*
 * Words of a command line: how far two are apart, what a verb's path is made of, where a paragraph ends.
 */
#include <string.h>

#include "base/options_internal.h"

#define WORD_MAX 32

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, one row of the table at a time. */
static size_t distance_between(Slice a, Slice b) {
    size_t row[WORD_MAX + 1];
    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            diagonal = row[j];
            row[j] = smallest(replaced, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[b.len];
}

void suggestion_consider(Suggestion *best, Slice wanted, const char *candidate) {
    if (candidate == NULL)
        return;
    size_t distance = distance_between(wanted, slice_of(candidate));
    if (distance < best->distance && distance < strlen(candidate) / 2)
        *best = (Suggestion){.name = candidate, .distance = distance};
}

Slice verb_first_word(const Verb *verb) {
    Slice path = slice_of(verb->path), first = path;
    (void)slice_split(&path, ' ', &first);
    return first;
}

bool verb_has_second_word(const Verb *verb) {
    return strchr(verb->path, ' ') != NULL;
}

bool verb_opens_group(const Program *program, size_t index) {
    Slice word = verb_first_word(&program->verbs[index]);
    for (size_t i = 0; i < index; i++) {
        if (slice_equal(verb_first_word(&program->verbs[i]), word))
            return false;
    }
    return true;
}

bool next_paragraph(Slice *rest, Slice *paragraph) {
    while (rest->len > 0 && rest->ptr[0] == '\n')
        *rest = (Slice){.ptr = rest->ptr + 1, .len = rest->len - 1};
    if (rest->len == 0)
        return false;
    const char *end = memmem(rest->ptr, rest->len, "\n\n", 2);
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    *paragraph = (Slice){.ptr = rest->ptr, .len = len};
    *rest = (Slice){.ptr = rest->ptr + len, .len = rest->len - len};
    return true;
}
