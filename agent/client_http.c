/*
 * HTTP by libcurl. Invariants: the key leaves in one header, to the host of the URL only (no redirect is followed, no
 * proxy gets it with CONNECT); what comes back is counted while it arrives, headers too; a readable cancel_fd ends a call
 * at once, even while a name is being looked up.
 */
#include "agent/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/roots.h"
#include "base/fields.h"
#include "base/json_guard.h"
#include "base/log.h"

typedef struct HttpClient {
    Client base;
    const char *url;
    size_t url_len; /* without slashes at the end */
    const char *ca_file;
    CURL *easy;   /* made by the first call; keeps its connection for the next */
    CURLM *multi; /* likewise */
    bool is_prepared;
} HttpClient;

/* What one answer may still bring. */
typedef struct Intake {
    Buffer body;
    size_t header_bytes;
} Intake;

/* The faults worth a word of their own; is_final: another try changes nothing. */
static const struct {
    CURLcode code;
    bool is_final;
    const char *text;
} faults[] = {
    {CURLE_COULDNT_RESOLVE_HOST, false, "its name cannot be looked up"},
    {CURLE_COULDNT_RESOLVE_PROXY, false, "the proxy's name cannot be looked up"},
    {CURLE_COULDNT_CONNECT, false, "no connection"},
    {CURLE_OPERATION_TIMEDOUT, false, "no answer in time"},
    {CURLE_GOT_NOTHING, false, "the connection was closed before the answer came"},
    {CURLE_RECV_ERROR, false, "the connection was lost before the answer came"},
    {CURLE_SEND_ERROR, false, "the connection was lost before the answer came"},
    {CURLE_PARTIAL_FILE, false, "the connection was lost within the answer"},
    {CURLE_PEER_FAILED_VERIFICATION, true, "its certificate is not trusted; --ca-file names others to trust"},
    {CURLE_SSL_CACERT_BADFILE, true, "the file of trusted certificates cannot be read"},
    {CURLE_WRITE_ERROR, true, "its answer is longer than this program takes"},
    {CURLE_UNSUPPORTED_PROTOCOL, true, "what listens there does not speak HTTP"},
    {CURLE_WEIRD_SERVER_REPLY, true, "what listens there does not speak HTTP"},
    {CURLE_URL_MALFORMAT, true, "the URL cannot be used"},
};

static size_t take_body(char *data, size_t size, size_t count, void *arg) {
    Intake *intake = arg;
    buffer_add(&intake->body, data, size * count);
    return buffer_error(&intake->body) == 0 ? size * count : 0;
}

static size_t take_header(char *data, size_t size, size_t count, void *arg) {
    Intake *intake = arg;
    (void)data;
    intake->header_bytes += size * count;
    return intake->header_bytes <= REPLY_HEADERS_MAX ? size * count : 0;
}

static void add_encoded(Buffer *out, const char *text) {
    static const char digits[] = "0123456789ABCDEF";
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool is_plain = c < 0x80 && (isalnum(c) || strchr("-._~", c) != NULL);
        if (is_plain) {
            buffer_add_char(out, (char)c);
            continue;
        }
        buffer_add_char(out, '%');
        buffer_add_char(out, digits[c >> 4]);
        buffer_add_char(out, digits[c & 15]);
    }
}

/* The members of a flat object as an URL's query. */
static int add_query(Buffer *out, Slice body) {
    OWN(json_decrefp) json_t *fields = NULL;
    JsonProblem problem;
    int r = json_parse(body, JSON_DEPTH_MAX, &fields, &problem);
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    char lead = '?';
    const char *name;
    json_t *value;
    json_object_foreach(fields, name, value) {
        buffer_add_char(out, lead);
        add_encoded(out, name);
        buffer_add_char(out, '=');
        if (json_is_integer(value))
            buffer_add_number(out, json_integer_value(value));
        else
            add_encoded(out, json_is_string(value) ? json_string_value(value) : "");
        lead = '&';
    }
    return buffer_error(out);
}

static void slist_freep(struct curl_slist **list) {
    curl_slist_free_all(*list);
    *list = NULL;
}

static int add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static int make_headers(const ClientCall *call, struct curl_slist **out) {
    OWN(slist_freep) struct curl_slist *list = NULL;
    static const char *const plain[] = {"Content-Type: application/json", "Accept: application/json", "Expect:"};
    int r = 0;
    for (size_t i = 0; i < COUNT_OF(plain) && r == 0; i++)
        r = add_header(&list, plain[i]);
    if (r == 0 && !slice_is_absent(call->key)) {
        OWN(buffer_deinit) Buffer line;
        buffer_init(&line, KEY_TEXT_MAX + 64);
        buffer_printf(&line, "Authorization: Bearer %.*s", SLICE_PRINT(call->key));
        const char *text = buffer_text(&line);
        r = text != NULL ? add_header(&list, text) : buffer_error(&line);
    }
    if (r == 0)
        *out = steal(&list);
    return r;
}

/* Nothing is read or parsed before a connection wants TLS. */
static CURLcode trust(const HttpClient *http) {
    const char *roots = roots_built_in();
    if (http->ca_file != NULL)
        return curl_easy_setopt(http->easy, CURLOPT_CAINFO, http->ca_file);
    if (roots == NULL)
        return CURLE_OK;
    /* libcurl only reads it. */
    struct curl_blob blob = {.data = (void *)(uintptr_t)roots, .len = strlen(roots), .flags = CURL_BLOB_NOCOPY};
    return curl_easy_setopt(http->easy, CURLOPT_CAINFO_BLOB, &blob);
}

/* What stays the same for all calls of a client. */
static CURLcode configure(const HttpClient *http) {
    CURL *easy = http->easy;
    CURLcode r = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_USERAGENT, "stack-agent");
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    if (r == CURLE_OK)
        r = trust(http);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else giving up while a name is looked up waits for the resolver. */
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    return r;
}

static int prepare(HttpClient *http) {
    if (http->is_prepared)
        return 0;
    if (http->easy == NULL)
        http->easy = curl_easy_init();
    if (http->multi == NULL)
        http->multi = curl_multi_init();
    if (http->easy == NULL || http->multi == NULL || configure(http) != CURLE_OK)
        return -ENOMEM;
    http->is_prepared = true;
    return 0;
}

static int describe_call(HttpClient *http, const ClientCall *call, Buffer *url) {
    CURL *easy = http->easy;
    bool is_get = (call->operation->flags & OPERATION_READS) != 0;
    buffer_add(url, http->url, http->url_len);
    buffer_printf(url, "/%s", call->operation->name);
    int r = is_get ? add_query(url, call->body) : 0;
    const char *text = buffer_text(url);
    if (r != 0 || text == NULL)
        return r != 0 ? r : buffer_error(url);
    long timeout = call->timeout_ms > 1 ? (long)call->timeout_ms : 1;
    bool is_set = curl_easy_setopt(easy, CURLOPT_URL, text) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                                   timeout < CONNECT_MS ? timeout : (long)CONNECT_MS) == CURLE_OK;
    if (is_get)
        return is_set && curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK ? 0 : -ENOMEM;
    is_set = is_set && curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.ptr) == CURLE_OK;
    return is_set ? 0 : -ENOMEM;
}

/* Runs the transfer to its end. 0 with its result | -ECANCELED | -EIO */
static int drive(HttpClient *http, int cancel_fd, CURLcode *result) {
    for (;;) {
        int running = 0, left = 0;
        if (curl_multi_perform(http->multi, &running) != CURLM_OK)
            return -EIO;
        const CURLMsg *message = curl_multi_info_read(http->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            *result = message->data.result;
            return 0;
        }
        struct curl_waitfd cancel = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
        if (curl_multi_poll(http->multi, &cancel, cancel_fd >= 0 ? 1 : 0, 1000, NULL) != CURLM_OK)
            return -EIO;
        if (cancel_fd >= 0 && cancel.revents != 0)
            return -ECANCELED;
    }
}

static int explain_fault(HttpClient *http, CURLcode code, Buffer *reason) {
    long system_error = 0;
    (void)curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &system_error);
    size_t i = 0;
    while (i < COUNT_OF(faults) && faults[i].code != code)
        i++;
    const char *text = i < COUNT_OF(faults) ? faults[i].text : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT && system_error != 0)
        text = strerror((int)system_error);
    /* It goes on a sentence; "SSL …" stays as it is. */
    bool is_word = text[0] != '\0' && islower((unsigned char)text[1]);
    buffer_add_char(reason, is_word ? (char)tolower((unsigned char)text[0]) : text[0]);
    buffer_add_text(reason, text + 1);
    return i < COUNT_OF(faults) && faults[i].is_final ? CLIENT_REFUSED : CLIENT_FAULT;
}

static int read_answer(HttpClient *http, const Intake *intake, ClientReply *reply) {
    long status = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &retry_after);
    OWN(json_decrefp) json_t *json = NULL;
    JsonProblem problem;
    /* A page of some proxy is no JSON; then the status alone tells. */
    int r = json_parse(buffer_slice(&intake->body), REPLY_DEPTH_MAX, &json, &problem);
    if (r < 0)
        return r;
    reply->status = (int)status;
    if (retry_after > 0)
        reply->retry_after_seconds = retry_after;
    if (json_is_object(json))
        reply->json = steal(&json);
    return 0;
}

static int transfer(HttpClient *http, const ClientCall *call, Intake *intake, ClientReply *reply) {
    if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
        return -ENOMEM;
    CURLcode code = CURLE_OK;
    int r = drive(http, call->cancel_fd, &code);
    long sent = 0;
    (void)curl_easy_getinfo(http->easy, CURLINFO_REQUEST_SIZE, &sent);
    reply->is_sent = sent > 0;
    bool is_memory_short = code == CURLE_OUT_OF_MEMORY || buffer_error(&intake->body) == -ENOMEM;
    if (r == 0 && is_memory_short)
        r = -ENOMEM;
    else if (r == 0 && code != CURLE_OK)
        r = explain_fault(http, code, &reply->reason);
    else if (r == 0)
        r = read_answer(http, intake, reply);
    (void)curl_multi_remove_handle(http->multi, http->easy);
    return r;
}

static void intake_deinit(Intake *intake) {
    buffer_deinit(&intake->body);
}

static int http_call(Client *client, const ClientCall *call, ClientReply *reply) {
    HttpClient *http = (HttpClient *)client;
    OWN(slist_freep) struct curl_slist *headers = NULL;
    OWN(buffer_deinit) Buffer url;
    OWN(intake_deinit) Intake intake = {.header_bytes = 0};
    buffer_init(&url, URL_MAX * 4);
    buffer_init(&intake.body, call->answer_max);
    int r = prepare(http);
    if (r == 0)
        r = make_headers(call, &headers);
    if (r == 0)
        r = describe_call(http, call, &url);
    if (r != 0)
        return r;
    if (curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
        curl_easy_setopt(http->easy, CURLOPT_WRITEDATA, &intake) != CURLE_OK ||
        curl_easy_setopt(http->easy, CURLOPT_HEADERDATA, &intake) != CURLE_OK)
        return -ENOMEM;
    r = transfer(http, call, &intake, reply);
    /* The handle outlives what it was lent. */
    (void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, NULL);
    return r;
}

static void http_free(Client *client) {
    HttpClient *http = (HttpClient *)client;
    if (http->easy != NULL)
        curl_easy_cleanup(http->easy);
    if (http->multi != NULL)
        (void)curl_multi_cleanup(http->multi);
    free(http);
    curl_global_cleanup();
}

static const ClientVtable http_vtable = {.call = http_call, .free = http_free};

static void url_freep(CURLU **url) {
    curl_url_cleanup(*url);
    *url = NULL;
}

static bool has_part(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool is_there = curl_url_get(url, part, &text, 0) == CURLUE_OK && text != NULL;
    curl_free(text);
    return is_there;
}

/* NULL: right; else what is wrong with it. */
static const char *check_url(const char *text) {
    OWN(url_freep) CURLU *url = curl_url();
    if (url == NULL || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK || strlen(text) > URL_MAX)
        return "is no usable URL";
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
        return "must not hold a user or password; the key goes to STACK_AGENT_KEY or --key-file";
    if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return "must end with its path, since operations are added to it";
    return NULL;
}

int client_http_new(const ClientOptions *options, Client **out, Buffer *reason) {
    const char *wrong = check_url(options->url);
    if (wrong != NULL) {
        /* Not the URL itself: what is wrong with it may be a password. */
        buffer_printf(reason, "the URL of the coordinator %s", wrong);
        return CLIENT_URL_INVALID;
    }
    HttpClient *http = calloc(1, sizeof *http);
    if (http == NULL)
        return -ENOMEM;
    *http = (HttpClient){
        .base.vtable = &http_vtable, .url = options->url, .url_len = strlen(options->url), .ca_file = options->ca_file};
    while (http->url_len > 0 && http->url[http->url_len - 1] == '/')
        http->url_len--;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(http);
        return -ENOMEM;
    }
    *out = &http->base;
    return 0;
}
