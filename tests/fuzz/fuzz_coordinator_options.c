/* The coordinator's command line and environment, by its real table. */
#include "coordinator/options.h"
#include "fuzz/command_line.h"
#include "fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    command_line_try(&coordinator_program, sizeof(CoordinatorOptions), data, size);
    return 0;
}
