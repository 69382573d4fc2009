/*
 * A main for fuzz targets in builds without a fuzzer: feeds them every file of the folders named on the command line,
 * so that the seeds, and whatever once broke a target, stay tests everywhere.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define SEED_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void closedirp(DIR **folder) {
    if (*folder != NULL)
        (void)closedir(*folder);
    *folder = NULL;
}

static void fclosep(FILE **file) {
    if (*file != NULL)
        (void)fclose(*file);
    *file = NULL;
}

static int replay_file(const char *folder, const char *name) {
    OWN(buffer_deinit) Buffer path = {0};
    buffer_init(&path, 4096);
    buffer_printf(&path, "%s/%s", folder, name);
    const char *text = buffer_text(&path);
    if (text == NULL)
        return buffer_error(&path);
    OWN(fclosep) FILE *file = fopen(text, "rb");
    OWN(freep) uint8_t *data = malloc(SEED_MAX);
    if (file == NULL || data == NULL)
        return -errno;
    size_t size = fread(data, 1, SEED_MAX, file);
    /* A copy of its exact size, so that the address sanitizer sees a read past the end. */
    OWN(freep) uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        return -ENOMEM;
    memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    return 0;
}

static int replay_folder(const char *path, size_t *count) {
    OWN(closedirp) DIR *folder = opendir(path);
    if (folder == NULL)
        return -errno;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        int r = replay_file(path, entry->d_name);
        if (r < 0)
            return r;
        (*count)++;
    }
    return 0;
}

int main(int argc, char *argv[]) {
    size_t count = 0;
    for (int i = 1; i < argc; i++) {
        int r = replay_folder(argv[i], &count);
        if (r < 0) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
            return 1;
        }
    }
    printf("%zu seeds\n", count);
    return count > 0 ? 0 : 1;
}
