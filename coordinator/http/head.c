/* One pass over the header fields. */
#include "http/head.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"

typedef struct Scan {
    Head head;
    Slice api_key, authorization;
    unsigned lengths, encodings, hosts, api_keys, authorizations;
    const char *problem;
} Scan;

static bool is_name(Slice key, const char *name, size_t len) {
    return key.len == len && strncasecmp(key.ptr, name, len) == 0;
}
#define IS_NAME(key, literal) is_name((key), (literal), sizeof(literal) - 1)

/* RFC 9110 §5.6.2; a blank before the colon ends up here. */
static bool is_token(Slice key) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alphanumeric && c != '-' && memchr(others, c, sizeof others - 1) == NULL)
            return false;
    }
    return key.len > 0;
}

/* libmicrohttpd 0.9.75 appends the text of a folded line to the field's name, so "Transfer-Encoding:\r\n chunked" comes
 * out as a field "Transfer-Encodingchunked" and its body as the next request. */
static bool is_folded_framing(Slice key) {
    static const Slice framing[] = {SLICE_LITERAL("content-length"), SLICE_LITERAL("transfer-encoding")};
    for (size_t i = 0; i < COUNT_OF(framing); i++)
        if (key.len > framing[i].len && strncasecmp(key.ptr, framing[i].ptr, framing[i].len) == 0)
            return true;
    return false;
}

static void read_length(Scan *scan, Slice value) {
    int64_t length = 0;
    scan->lengths++;
    if (slice_to_number(value, &length)) {
        scan->head.length = (uint64_t)length;
        return;
    }
    /* What is no number at all libmicrohttpd refuses by itself; leading zeros it accepts, and so would a proxy. */
    uint64_t number = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            scan->problem = "Content-Length is no number.";
        number = number < UINT64_MAX / 16 ? number * 10 + (uint64_t)(value.ptr[i] - '0') : UINT64_MAX / 10;
    }
    if (value.len == 0)
        scan->problem = "Content-Length is no number.";
    scan->head.length = number;
}

static enum MHD_Result read_field(void *arg, enum MHD_ValueKind kind, const char *key_ptr, size_t key_len,
                                  const char *value_ptr, size_t value_len) {
    (void)kind;
    Scan *scan = arg;
    Slice key = {.ptr = key_ptr, .len = key_len};
    Slice value = {.ptr = value_ptr != NULL ? value_ptr : "", .len = value_ptr != NULL ? value_len : 0};
    if (!is_token(key) || is_folded_framing(key)) {
        scan->problem = "A header field's name is malformed.";
        return MHD_NO;
    }
    switch (key.ptr[0] | 0x20) {
    case 'h':
        if (IS_NAME(key, "Host"))
            scan->hosts++;
        break;
    case 'x':
        if (IS_NAME(key, "X-API-Key")) {
            scan->api_keys++;
            scan->api_key = value;
        }
        break;
    case 'a':
        if (IS_NAME(key, "Authorization")) {
            scan->authorizations++;
            scan->authorization = value;
        }
        break;
    case 'c':
        if (IS_NAME(key, "Content-Length"))
            read_length(scan, value);
        break;
    case 't':
        if (IS_NAME(key, "Transfer-Encoding")) {
            scan->encodings++;
            if (!IS_NAME(value, "chunked"))
                scan->problem = "The only transfer encoding understood here is chunked.";
        }
        break;
    default:
        break;
    }
    return MHD_YES;
}

/* Another scheme is as good as none: a proxy may have its own. */
static Slice bearer_token(Slice authorization) {
    static const Slice scheme = SLICE_LITERAL("Bearer ");
    if (authorization.len < scheme.len || strncasecmp(authorization.ptr, scheme.ptr, scheme.len) != 0)
        return SLICE_ABSENT;
    return slice_trimmed((Slice){.ptr = authorization.ptr + scheme.len, .len = authorization.len - scheme.len});
}

const char *head_read(struct MHD_Connection *mhd, const char *version, Head *out) {
    Scan scan = {0};
    (void)MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, read_field, &scan);
    if (scan.problem == NULL && scan.hosts > 1)
        scan.problem = "The request has several Host fields.";
    if (scan.problem == NULL && scan.lengths + scan.encodings > 1)
        scan.problem = "The request says its length more than once.";
    if (scan.problem == NULL && scan.encodings > 0 && strcmp(version, MHD_HTTP_VERSION_1_0) == 0)
        scan.problem = "HTTP/1.0 knows no transfer encoding.";
    if (scan.problem == NULL && (scan.api_keys > 1 || scan.authorizations > 1))
        scan.problem = "The request has several keys.";
    if (scan.problem != NULL)
        return scan.problem;
    scan.head.credential = slice_trimmed(scan.api_key);
    if (scan.head.credential.len == 0)
        scan.head.credential = bearer_token(scan.authorization);
    *out = scan.head;
    return NULL;
}
