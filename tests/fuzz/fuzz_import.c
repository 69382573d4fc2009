/*
 * A file that somebody wants imported. The first byte chooses how it is read: as an export's lines, or as the original's
 * table; the rest is the file.
 *
 * Promised: what is refused is told in words and leaves nothing behind; what is taken is the same after an export and
 * another import, to the byte.
 */
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "fuzz/require.h"
#include "simulate/array_store.h"
#include "transfer/export.h"
#include "transfer/import.h"
#include "transfer/original.h"

#define ORIGINAL_BIT 1

static void close_store(Store **store) {
    *store = store_close(*store);
}

static Store *new_store(void) {
    Store *store = NULL;
    REQUIRE(array_store_open(&store) == 0);
    return store;
}

/* The caller frees the text. */
static char *export_of(Store *store, TransferCounts *counts, size_t *length) {
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, BODY_MAX);
    REQUIRE(out != NULL);
    REQUIRE(export_write(store, out, "fuzz", counts, &reason) == 0);
    REQUIRE(fclose(out) == 0);
    return text;
}

/* A file that is empty cannot be opened in memory: then it is none. */
static FILE *file_of(const char *bytes, size_t length) {
    FILE *file = length > 0 ? fmemopen((void *)bytes, length, "r") : fopen("/dev/null", "r");
    REQUIRE(file != NULL);
    return file;
}

static int read_export(Store *store, const char *bytes, size_t length, TransferCounts *counts, Buffer *reason) {
    FILE *in = file_of(bytes, length);
    int r = import_read(store, in, counts, reason);
    (void)fclose(in);
    return r;
}

static int read_original(Store *store, const char *bytes, size_t length, TransferCounts *counts, Buffer *reason) {
    const OptionList renames = {.count = 0};
    const OriginalOptions options = {.renames = &renames, .clock = clock_system(), .random = random_system()};
    size_t skipped = 0;
    FILE *in = file_of(bytes, length);
    int r = original_read(store, in, &options, counts, &skipped, reason);
    (void)fclose(in);
    return r;
}

static int refuse_row(void *arg, const StoredRow *row) {
    (void)arg;
    (void)row;
    REQUIRE(false);
}

static void check_refusal(Store *store, int result, const Buffer *reason) {
    REQUIRE(result == TRANSFER_REFUSED);
    REQUIRE(buffer_error(reason) == 0 && reason->len > 0);
    REQUIRE(store_dump(store, refuse_row, NULL) == 0);
}

static void check_round_trip(Store *store, const TransferCounts *taken) {
    TransferCounts written, again;
    size_t length, length_again;
    OWN(close_store) Store *other = new_store();
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, BODY_MAX);
    OWN(freep) char *text = export_of(store, &written, &length);
    REQUIRE(memcmp(&written, taken, sizeof written) == 0);
    REQUIRE(read_export(other, text, length, &again, &reason) == 0);
    OWN(freep) char *text_again = export_of(other, &again, &length_again);
    REQUIRE(length == length_again && memcmp(text, text_again, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    json_guard_init();
    TransferCounts counts;
    OWN(close_store) Store *store = new_store();
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, BODY_MAX);
    const char *file = (const char *)data + 1;
    int r = (data[0] & ORIGINAL_BIT) != 0 ? read_original(store, file, size - 1, &counts, &reason)
                                          : read_export(store, file, size - 1, &counts, &reason);
    if (r == 0)
        check_round_trip(store, &counts);
    else
        check_refusal(store, r, &reason);
    return 0;
}
