/*
 * The runner's grammar: a line `name=value`, or `name<<DELIMITER`, lines, and a line that is the delimiter. With 128 random
 * bits in the delimiter nobody who chose the value can have put it there.
 */
#include "agent/github_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/output.h"
#include "base/utf8.h"
#include "protocol/rules.h"

enum { DELIMITER_BYTES = 16, NAME_MAX_BYTES = 128 };

static bool is_letter(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_name(Slice name, const char *also) {
    if (name.len == 0 || name.len > NAME_MAX_BYTES || !is_letter(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++) {
        bool is_digit = name.ptr[i] >= '0' && name.ptr[i] <= '9';
        if (!is_letter(name.ptr[i]) && !is_digit && (name.ptr[i] == '\0' || strchr(also, name.ptr[i]) == NULL))
            return false;
    }
    return true;
}

int github_entry_add(Random *random, Slice name, Slice value, Buffer *out) {
    unsigned char bits[DELIMITER_BYTES];
    char delimiter[2 * DELIMITER_BYTES + 1];
    if (!is_name(name, "-"))
        return GITHUB_NAME_REFUSED;
    if (value.len > 0 && (!utf8_is_valid(value) || memchr(value.ptr, '\0', value.len) != NULL))
        return GITHUB_VALUE_REFUSED;
    if (value.len == 0) {
        buffer_printf(out, "%.*s=\n", SLICE_PRINT(name));
        return buffer_error(out);
    }
    int r = random_fill(random, bits, sizeof bits);
    if (r != 0)
        return r;
    hex_encode(bits, sizeof bits, delimiter);
    if (memmem(value.ptr, value.len, delimiter, strlen(delimiter)) != NULL)
        return GITHUB_VALUE_REFUSED; /* a random source that is none */
    buffer_printf(out, "%.*s<<ghadelimiter_%s\n", SLICE_PRINT(name), delimiter);
    buffer_add_slice(out, value);
    buffer_printf(out, "\nghadelimiter_%s\n", delimiter);
    return buffer_error(out);
}

int github_path_add(Slice folder, Buffer *out) {
    if (folder.len == 0 || rule_one_line(folder) != NULL)
        return GITHUB_VALUE_REFUSED;
    buffer_add_slice(out, folder);
    buffer_add_char(out, '\n');
    return buffer_error(out);
}

int github_file_append(EnvironGet environ_get, const char *variable, Slice text) {
    const char *path = ci_variable(environ_get, variable);
    if (path == NULL)
        return GITHUB_FILE_ABSENT;
    OWN(closep) int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    return fd < 0 ? -errno : output_write(fd, text);
}

/* A name that ends in * stands for all that begin so. */
static const char *const refused[] = {
    "PATH",
    "LD_*",
    "DYLD_*",
    "GIT_*",
    "GITHUB_*",
    "RUNNER_*",
    "ACTIONS_*",
    "INPUT_*",
    "STATE_*",
    "NODE_*",
    "NPM_*",
    "BASH_*",
    "BASHOPTS",
    "SHELLOPTS",
    "ENV",
    "IFS",
    "PS4",
    "CDPATH",
    "GLOBIGNORE",
    "HOME",
    "SHELL",
    "TMPDIR",
    "PYTHON*",
    "PERL*",
    "RUBY*",
    "JAVA_*",
    "JDK_*",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "MAVEN_*",
    "GRADLE_*",
    "MAKEFLAGS",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_*",
    "CURL_*",
    "REQUESTS_CA_BUNDLE",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "DOCKER_*",
    "KUBECONFIG",
    "SSH_*",
    "PROMPT_COMMAND",
    "STACK_AGENT_*",
    "MALLOC_*",
    "GOFLAGS",
    "RUSTFLAGS",
    "CC",
    "CXX",
    "CI",
    "USER",
    "LOGNAME",
    "XDG_*",
    "DOTNET_*",
    "COMPlus_*",
    "PHP*",
};

static bool is_refused(const char *rule, Slice name) {
    size_t len = strlen(rule);
    bool is_prefix = rule[len - 1] == '*';
    len -= is_prefix;
    return (is_prefix ? name.len >= len : name.len == len) && strncasecmp(name.ptr, rule, len) == 0;
}

const char *github_env_name_refusal(Slice name) {
    if (!is_name(name, ""))
        return "is no name of letters, digits and _ that begins with a letter";
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (is_refused(refused[i], name))
            return "would change how later steps' programs run";
    }
    return NULL;
}
