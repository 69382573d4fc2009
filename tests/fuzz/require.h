/*
 * What a fuzz target promises about the code it feeds. Unlike assert it is there in every build.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(claim)                                                                                                 \
    do {                                                                                                               \
        if (!(claim)) {                                                                                                \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
