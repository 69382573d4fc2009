/* Writing in full, or saying that it failed. */
#include "agent/print.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"
#include "base/output.h"

int print_out(const Agent *agent, const Buffer *text) {
    const Slice all = buffer_slice(text);
    if (slice_is_absent(all))
        return agent_fail(agent, EX_SOFTWARE, "the output is too long");
    int r = output_write(STDOUT_FILENO, all);
    return r == 0 ? 0 : agent_fail(agent, EX_SOFTWARE, "stdout cannot be written: %s", strerror(-r));
}

int print_json(const Agent *agent, const json_t *json) {
    OWN(freep) char *text = json_dumps(json, JSON_ENSURE_ASCII | JSON_COMPACT);
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, OUTPUT_MAX);
    if (text == NULL)
        return -ENOMEM;
    /* The same JSON, without GitHub's `##[`, which can only stand within a string. */
    for (const char *at = text, *found; *at != '\0'; at = found) {
        found = strstr(at, "##[");
        if (found == NULL) {
            buffer_add_text(&line, at);
            break;
        }
        found += strlen("##[");
        buffer_add(&line, at, (size_t)(found - at) - 1);
        buffer_add_text(&line, "\\u005b");
    }
    buffer_add_char(&line, '\n');
    return print_out(agent, &line);
}

static bool has_colours(EnvironGet environ_get) {
    const char *terminal = environ_get("TERM");
    return isatty(STDOUT_FILENO) == 1 && ci_variable(environ_get, "NO_COLOR") == NULL &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

int print_view(const Agent *agent, ViewFunction *view, const json_t *items) {
    const ViewStyle style = {.has_colours = has_colours(agent->environ_get), .now_ms = clock_wall_ms(agent->clock)};
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, OUTPUT_MAX);
    view(items, &style, &out);
    return print_out(agent, &out);
}
