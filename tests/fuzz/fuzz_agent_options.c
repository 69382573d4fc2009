/* The agent's command line and environment, by its real table. */
#include "agent/options.h"
#include "fuzz/command_line.h"
#include "fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    command_line_try(&agent_program, sizeof(AgentOptions), data, size);
    return 0;
}
