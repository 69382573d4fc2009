/*
 * One allocation: the array, and behind it the texts that are new.
 */
#include "agent/environment.h"

#include <stdio.h>
#include <string.h>

static bool is_changed(const char *entry, const EnvironmentChange *changes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(changes[i].name);
        if (strncmp(entry, changes[i].name, len) == 0 && entry[len] == '=')
            return true;
    }
    return false;
}

char **environment_with(const EnvironmentChange *changes, size_t count) {
    size_t entries = 0, text_size = 0;
    while (environ[entries] != NULL)
        entries++;
    for (size_t i = 0; i < count; i++) {
        if (changes[i].value != NULL)
            text_size += strlen(changes[i].name) + strlen(changes[i].value) + 2;
    }
    char **out = malloc((entries + count + 1) * sizeof *out + text_size);
    if (out == NULL)
        return NULL;
    char *text = (char *)(out + entries + count + 1);
    size_t used = 0;
    for (size_t i = 0; i < entries; i++) {
        if (!is_changed(environ[i], changes, count))
            out[used++] = environ[i];
    }
    for (size_t i = 0; i < count; i++) {
        if (changes[i].value == NULL)
            continue;
        size_t size = strlen(changes[i].name) + strlen(changes[i].value) + 2;
        (void)snprintf(text, size, "%s=%s", changes[i].name, changes[i].value);
        out[used++] = text;
        text += size;
    }
    out[used] = NULL;
    return out;
}

void environment_freep(char ***environment) {
    free(*environment);
    *environment = NULL;
}
