/*
 * One option's value: text → the field of the program's values struct, and the words in which it is described.
 * Invariant: nothing is stored that the option's row does not allow.
 */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/options_internal.h"

static const struct {
    char letter;
    int64_t seconds;
} duration_units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

bool duration_parse(const char *text, int64_t *seconds) {
    Slice digits = slice_of(text);
    int64_t unit = 1, number = 0;
    for (size_t i = 0; i < COUNT_OF(duration_units) && digits.len > 0; i++) {
        if (digits.ptr[digits.len - 1] == duration_units[i].letter) {
            unit = duration_units[i].seconds;
            digits.len--;
            break;
        }
    }
    if (!slice_to_number(digits, &number) || number > INT64_MAX / unit)
        return false;
    *seconds = number * unit;
    return true;
}

static void add_duration(Buffer *out, int64_t seconds) {
    size_t at = 0;
    while (seconds == 0 || seconds % duration_units[at].seconds != 0) {
        if (duration_units[at].seconds == 1)
            break;
        at++;
    }
    buffer_printf(out, "%" PRId64 "%c", seconds / duration_units[at].seconds, duration_units[at].letter);
}

static bool number_parse(const char *text, int64_t *number) {
    bool is_negative = text[0] == '-';
    if (!slice_to_number(slice_of(text + is_negative), number))
        return false;
    if (is_negative)
        *number = -*number;
    return true;
}

static bool flag_parse(const char *text, bool *flag) {
    static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *flag = i % 2 == 1;
            return true;
        }
    }
    return false;
}

void option_unset(const Option *option, void *values) {
    void *place = (char *)values + option->offset;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)place = false;
        break;
    case OPTION_TEXT:
        *(const char **)place = NULL;
        break;
    case OPTION_NUMBER:
    case OPTION_DURATION:
        *(int64_t *)place = OPTION_UNSET;
        break;
    case OPTION_CHOICE:
        *(int *)place = -1;
        break;
    case OPTION_LIST:
        *(OptionList *)place = (OptionList){.count = 0};
        break;
    }
}

/* min and max both 0: any. */
static bool is_in_range(const Option *option, int64_t value) {
    return (option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max);
}

static int store_number(const Option *option, const char *name, const char *value, int64_t *place, Buffer *complaint) {
    int64_t number = 0;
    if (!number_parse(value, &number)) {
        buffer_printf(complaint, "%s must be a whole number", name);
        return OPTIONS_USAGE;
    }
    if (!is_in_range(option, number)) {
        buffer_printf(complaint, "%s must be %" PRId64 " to %" PRId64, name, option->min, option->max);
        return OPTIONS_USAGE;
    }
    *place = number;
    return 0;
}

static int store_duration(const Option *option, const char *name, const char *value, int64_t *place,
                          Buffer *complaint) {
    int64_t seconds = 0;
    if (!duration_parse(value, &seconds)) {
        buffer_printf(complaint, "%s must be a duration such as 90, 90s, 30m, 2h or 1d", name);
        return OPTIONS_USAGE;
    }
    if (!is_in_range(option, seconds)) {
        buffer_printf(complaint, "%s must be ", name);
        add_duration(complaint, option->min);
        buffer_add_text(complaint, " to ");
        add_duration(complaint, option->max);
        return OPTIONS_USAGE;
    }
    *place = seconds;
    return 0;
}

static int store_choice(const Option *option, const char *name, const char *value, int *place, Buffer *complaint) {
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *place = i;
            return 0;
        }
    }
    buffer_printf(complaint, "%s must be one of:", name);
    for (int i = 0; option->choices[i] != NULL; i++)
        buffer_printf(complaint, "%s %s", i > 0 ? "," : "", option->choices[i]);
    return OPTIONS_USAGE;
}

static int store_list(const char *name, const char *value, OptionList *place, Buffer *complaint) {
    if (place->count == OPTION_LIST_MAX) {
        buffer_printf(complaint, "%s is given more than %d times", name, OPTION_LIST_MAX);
        return OPTIONS_USAGE;
    }
    place->items[place->count++] = value;
    return 0;
}

static int store_flag(const char *name, const char *value, bool *place, Buffer *complaint) {
    if (flag_parse(value, place))
        return 0;
    buffer_printf(complaint, "%s must be one of: 1, true, yes, on, 0, false, no, off", name);
    return OPTIONS_USAGE;
}

int option_store(const Option *option, const char *name, const char *value, void *values, Buffer *complaint) {
    void *place = (char *)values + option->offset;
    switch (option->kind) {
    case OPTION_FLAG:
        return store_flag(name, value, place, complaint);
    case OPTION_TEXT:
        *(const char **)place = value;
        return 0;
    case OPTION_NUMBER:
        return store_number(option, name, value, place, complaint);
    case OPTION_DURATION:
        return store_duration(option, name, value, place, complaint);
    case OPTION_CHOICE:
        return store_choice(option, name, value, place, complaint);
    case OPTION_LIST:
        return store_list(name, value, place, complaint);
    }
    return 0;
}

int option_store_words(const Option *option, const char *name, const char *value, char **words, void *values,
                       Buffer *complaint) {
    static const char blanks[] = " \t\r\n";
    size_t size = strlen(value) + 1;
    char *copy = memcpy(*words, value, size), *rest = NULL;
    *words += size;
    for (char *word = strtok_r(copy, blanks, &rest); word != NULL; word = strtok_r(NULL, blanks, &rest)) {
        int result = option_store(option, name, word, values, complaint);
        if (result != 0)
            return result;
    }
    return 0;
}

void option_add_origins(const Option *option, Buffer *out) {
    if (option->fallback != NULL)
        buffer_printf(out, "default %s", option->fallback);
    if (option->environment != NULL && option->flag != NULL)
        buffer_printf(out, "%s%s", option->fallback != NULL ? "; " : "", option->environment);
}
