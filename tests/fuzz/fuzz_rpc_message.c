/*
 * Messages as they come out of nng, to the real service over an engine that is an array. The first byte chooses whose
 * socket they come from; each line of the rest is one message, answered before the next. In a message $K stands for the
 * project's key, $L for the secret of the last lease, $P for the project's name.
 *
 * Promised: every answer is an envelope of a status and an object; a refusal is one of the table, under its own status;
 * nothing is ever "internal"; and whatever was asked, the lists that follow are whole.
 */
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "fuzz/require.h"
#include "rpc/message.h"
#include "simulate/array_store.h"

#define INPUTS_PER_HOUSE 32 /* the array engine gets slower with what it keeps */
#define LINES_MAX 16
#define TEXT_MAX (1024 * 1024)

typedef struct House {
    Store *store;
    Service *service;
    Logger log;
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    bool is_answered;
    int inputs;
    char project[32], key[KEY_TEXT_MAX], lease[KEY_TEXT_MAX];
} House;

static House house; /* libFuzzer has no place for state of ours */

static void done(Operation *op) {
    House *h = op->call;
    (void)pthread_mutex_lock(&h->mutex);
    h->is_answered = true;
    (void)pthread_cond_signal(&h->answered);
    (void)pthread_mutex_unlock(&h->mutex);
}

static const OperationOwner owner = {.done = done};

static void tear_down(House *h) {
    if (h->service != NULL) {
        service_drain(h->service);
        service_stop(h->service);
    }
    h->service = service_free(h->service);
    h->store = store_close(h->store);
}

static void tear_down_at_exit(void) {
    tear_down(&house);
}

static void set_up(House *h) {
    tear_down(h);
    json_guard_init();
    h->log = (Logger){.fd = -1, .level = LOG_ERROR, .style = LOG_JSON, .clock = clock_system()};
    REQUIRE(array_store_open(&h->store) == 0);
    REQUIRE(service_new(&h->service, &(ServiceOptions){.store = h->store,
                                                       .clock = clock_system(),
                                                       .random = random_system(),
                                                       .log = &h->log,
                                                       .version = "fuzz"}) == 0);
    REQUIRE(service_start(h->service) == 0);
}

/* The whole envelope, parsed. */
static json_t *ask(House *h, Transport transport, Slice text) {
    const MessageContext context = {.service = h->service, .transport = transport, .owner = &owner};
    Message message;
    message_init(&message);
    h->is_answered = false;
    if (!message_open(&message, &context, text, slice_of("192.0.2.1"), h)) {
        message_submit(&message);
        (void)pthread_mutex_lock(&h->mutex);
        while (!h->is_answered)
            (void)pthread_cond_wait(&h->answered, &h->mutex);
        (void)pthread_mutex_unlock(&h->mutex);
    }
    size_t size = message_answer_size(&message);
    OWN(freep) char *answer = malloc(size);
    REQUIRE(answer != NULL);
    message_answer_write(&message, answer);
    message_close(&message);
    buffer_deinit(&message.refusal);
    json_error_t error;
    json_t *envelope = json_loadb(answer, size, JSON_REJECT_DUPLICATES, &error);
    REQUIRE(json_is_object(envelope) && json_object_size(envelope) == 2);
    return envelope;
}

static const char *code_of(const json_t *envelope) {
    return json_string_value(json_object_get(json_object_get(envelope, "body"), "code"));
}

static void check_answer(const json_t *envelope) {
    json_int_t status = json_integer_value(json_object_get(envelope, "status"));
    REQUIRE(json_is_object(json_object_get(envelope, "body")));
    if (status == 200 || status == 202)
        return;
    Outcome outcome = outcome_by_code(slice_of(code_of(envelope)));
    REQUIRE(outcome != OUTCOME_COUNT && outcome != OUTCOME_INTERNAL);
    REQUIRE(outcome_row(outcome)->http_status == status);
}

static void remember_lease(House *h, const json_t *envelope) {
    const json_t *lease = json_object_get(json_object_get(envelope, "body"), "lease");
    const char *secret = json_string_value(json_object_get(lease, "secret"));
    if (secret != NULL)
        (void)snprintf(h->lease, sizeof h->lease, "%s", secret);
}

/* A project of its own for each input, so that an input means the same whatever came before. */
static void make_project(House *h) {
    char text[128];
    (void)snprintf(h->project, sizeof h->project, "p%d", h->inputs);
    (void)snprintf(text, sizeof text, "{\"op\":\"createProject\",\"body\":{\"project\":\"%s\",\"maxStacks\":3}}",
                   h->project);
    OWN(json_decrefp) json_t *envelope = ask(h, TRANSPORT_CONTROL, slice_of(text));
    const char *key = json_string_value(json_object_get(json_object_get(envelope, "body"), "key"));
    if (key == NULL) /* an earlier input made a project of this name */
        key = "";
    (void)snprintf(h->key, sizeof h->key, "%s", key);
    (void)snprintf(h->lease, sizeof h->lease, "none");
}

static void add_expanded(const House *h, Slice line, Buffer *out) {
    for (size_t i = 0; i < line.len; i++) {
        char next = line.ptr[i] == '$' && i + 1 < line.len ? line.ptr[i + 1] : '\0';
        const char *word = next == 'K' ? h->key : next == 'L' ? h->lease : next == 'P' ? h->project : NULL;
        if (word == NULL) {
            buffer_add_char(out, line.ptr[i]);
            continue;
        }
        buffer_add_text(out, word);
        i++;
    }
}

static void send_line(House *h, Transport transport, Slice line) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, TEXT_MAX);
    add_expanded(h, line, &text);
    if (buffer_error(&text) != 0)
        return;
    OWN(json_decrefp) json_t *envelope = ask(h, transport, buffer_slice(&text));
    check_answer(envelope);
    remember_lease(h, envelope);
}

static void check_list(House *h, const char *operation, const char *member) {
    char text[128];
    (void)snprintf(text, sizeof text, "{\"op\":\"%s\",\"body\":{\"project\":\"%s\"}}", operation, h->project);
    OWN(json_decrefp) json_t *envelope = ask(h, TRANSPORT_CONTROL, slice_of(text));
    check_answer(envelope);
    const char *code = code_of(envelope);
    bool is_gone = code != NULL && strcmp(code, "unknown-project") == 0; /* it was asked to delete it */
    REQUIRE(is_gone || json_is_array(json_object_get(json_object_get(envelope, "body"), member)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    House *h = &house;
    if (size == 0)
        return 0;
    if (h->service == NULL) {
        (void)pthread_mutex_init(&h->mutex, NULL);
        (void)pthread_cond_init(&h->answered, NULL);
    }
    if (h->inputs++ % INPUTS_PER_HOUSE == 0)
        set_up(h);
    make_project(h);
    if (h->inputs ==
        1) /* after OpenSSL has registered its own: a thread that ends later leaks what OpenSSL had for it */
        (void)atexit(tear_down_at_exit);

    Transport transport = (data[0] & 1) != 0 ? TRANSPORT_CONTROL : TRANSPORT_RPC;
    Slice rest = {.ptr = (const char *)data + 1, .len = size - 1}, line;
    for (int i = 0; i < LINES_MAX && slice_split(&rest, '\n', &line); i++)
        send_line(h, transport, line);
    send_line(h, transport, rest);
    check_list(h, "listStacks", "stacks");
    check_list(h, "listEvents", "events");
    return 0;
}
