/* The fast reader never says anything else than jansson does, and takes what our clients send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_guard.h"
#include "base/json_plain.h"
#include "base/random.h"

#define DEPTH_MAX 4

static const char *const plain_texts[] = {
    "{}",
    " { } ",
    "{\"branch\":\"feat/1\"}",
    "{\"op\":\"releaseStack\",\"auth\":\"sok_shop_00\",\"body\":{\"stackName\":\"test-1\",\"lease\":\"sol_shop_1_2_"
    "00\"}}",
    "\t{ \"requestId\" : \"bench-0000000000\" ,\r\n\"leaseSeconds\" : 300 , \"holder\" : { \"job\" : \"e2e ~!\" } } \n",
    "{\"\":\"\",\"a\":0,\"b\":999999999999999}",
    "{\"a\":{\"a\":{\"a\":{}}}}",
    "\"text\"",
    "7",
};

static json_t *read_by_jansson(Slice text) {
    json_error_t error;
    return json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
}

static void plain_text_is_read_as_jansson_reads_it(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plain_texts); i++) {
        OWN(json_decrefp) json_t *plain = json_read_plain(slice_of(plain_texts[i]), DEPTH_MAX);
        OWN(json_decrefp) json_t *other = read_by_jansson(slice_of(plain_texts[i]));
        if (plain == NULL || !json_equal(plain, other))
            fail_msg("%s", plain_texts[i]);
    }
}

static void all_else_is_left_to_jansson(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{}}",
        "{} x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":01}",
        "{\"a\":1.5}",
        "{\"a\":1e3}",
        "{\"a\":-1}",
        "{\"a\":1000000000000000}",
        "{\"a\":true}",
        "{\"a\":null}",
        "{\"a\":[]}",
        "{\"a\":\"\\n\"}",
        "{\"a\":\"\x7F\"}",
        "{\"a\":\"\xC3\xA9\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"open}",
        "{\"0123456789012345678901234567890123456789012345678901234567890123\":1}",
        "{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        OWN(json_decrefp) json_t *plain = json_read_plain(slice_of(texts[i]), DEPTH_MAX);
        if (plain != NULL)
            fail_msg("%s", texts[i]);
    }
    assert_null(json_read_plain((Slice){.ptr = "{}\0", .len = 3}, DEPTH_MAX));
    assert_null(json_read_plain((Slice){.ptr = "{\"a\":\"\0\"}", .len = 9}, DEPTH_MAX));
    assert_null(json_read_plain(SLICE_ABSENT, DEPTH_MAX));
}

/* Plain texts with some bytes replaced, cut out or doubled: most are broken, many are not. */
static void damaged_text_is_never_read_otherwise(void **state) {
    (void)state;
    static const char bytes[] = "{}\"\\:,0123456789eE.+- \t\n\x01\x7F\xC3\xA9[]abtfn";
    SeededRandom random;
    seeded_random_init(&random, 5);
    size_t read = 0;
    for (int round = 0; round < 50000; round++) {
        const char *from = plain_texts[seeded_random_below(&random, COUNT_OF(plain_texts))];
        char text[512];
        size_t len = strlen(from);
        memcpy(text, from, len);
        for (uint64_t damages = 1 + seeded_random_below(&random, 2); damages > 0 && len > 0; damages--) {
            size_t at = (size_t)seeded_random_below(&random, len);
            uint64_t kind = seeded_random_below(&random, 3);
            if (kind == 0) {
                text[at] = bytes[seeded_random_below(&random, sizeof bytes - 1)];
            } else if (kind == 1) {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            } else {
                memmove(text + at + 1, text + at, len - at);
                len++;
            }
        }
        Slice damaged = {.ptr = text, .len = len};
        OWN(json_decrefp) json_t *plain = json_read_plain(damaged, DEPTH_MAX);
        if (plain == NULL)
            continue;
        OWN(json_decrefp) json_t *other = read_by_jansson(damaged);
        if (!json_equal(plain, other))
            fail_msg("%.*s", SLICE_PRINT(damaged));
        read++;
    }
    assert_in_range(read, 5000, 45000); /* else this showed nothing */
}

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_read_as_jansson_reads_it),
        cmocka_unit_test(all_else_is_left_to_jansson),
        cmocka_unit_test(damaged_text_is_never_read_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
