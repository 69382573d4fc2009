/* One function a row says what it consists of; it writes or reads, as its coder does. So the two cannot differ. */
#include "store/changes.h"

#include <errno.h>
#include <string.h>

#define VARINT_MAX 10 /* bytes of 64 bits, 7 a byte */

typedef struct Coder {
    Buffer *out; /* NULL: reads `in` */
    Slice in;
    bool is_bad; /* what was read */
} Coder;

static uint8_t take_byte(Coder *c) {
    if (c->in.len == 0) {
        c->is_bad = true;
        return 0;
    }
    c->in.len--;
    return (uint8_t)*c->in.ptr++;
}

static char *put_varint(char *to, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *to++ = (char)(value | 0x80);
    *to++ = (char)value;
    return to;
}

static uint64_t read_varint(Coder *c) {
    uint64_t value = 0;
    uint8_t byte = 0x80;
    for (unsigned shift = 0; shift < 64 && (byte & 0x80) != 0; shift += 7) {
        byte = take_byte(c);
        value |= (uint64_t)(byte & 0x7f) << shift;
    }
    c->is_bad |= (byte & 0x80) != 0;
    return value;
}

static uint64_t zigzag(int64_t number) {
    return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

static void write_numbers(Buffer *out, int64_t *const *numbers, size_t count) {
    char *start = buffer_reserve(out, count * VARINT_MAX), *to = start;
    if (start == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        to = put_varint(to, zigzag(*numbers[i]));
    buffer_grew(out, (size_t)(to - start));
}

static void code_numbers(Coder *c, int64_t *const *numbers, size_t count) {
    if (c->out != NULL) {
        write_numbers(c->out, numbers, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t n = read_varint(c);
        *numbers[i] = (int64_t)(n >> 1 ^ ((n & 1) != 0 ? UINT64_MAX : 0));
    }
}

static void code_number(Coder *c, int64_t *number) {
    code_numbers(c, &number, 1);
}

static void code_flag(Coder *c, bool *flag) {
    int64_t number = *flag;
    code_number(c, &number);
    *flag = number != 0;
}

/* A number of an enumeration of `count` members. */
static int code_choice(Coder *c, int choice, int count) {
    int64_t number = choice;
    code_number(c, &number);
    c->is_bad |= number < 0 || number >= count;
    return c->is_bad ? 0 : (int)number;
}

static void write_text(Buffer *out, Slice text) {
    char *start = buffer_reserve(out, VARINT_MAX + text.len);
    if (start == NULL)
        return;
    char *to = put_varint(start, slice_is_absent(text) ? 0 : text.len + 1);
    if (text.len != 0)
        memcpy(to, text.ptr, text.len);
    buffer_grew(out, (size_t)(to - start) + text.len);
}

static void code_text(Coder *c, Slice *text) {
    if (c->out != NULL) {
        write_text(c->out, *text);
        return;
    }
    uint64_t length = read_varint(c);
    *text = SLICE_ABSENT;
    if (length == 0)
        return;
    if (length - 1 > c->in.len) {
        c->is_bad = true;
        return;
    }
    *text = (Slice){.ptr = c->in.ptr, .len = (size_t)length - 1};
    c->in.ptr += length - 1;
    c->in.len -= length - 1;
}

static void code_bytes(Coder *c, uint8_t *bytes, size_t size) {
    if (c->out != NULL) {
        buffer_add(c->out, bytes, size);
        return;
    }
    for (size_t i = 0; i < size; i++)
        bytes[i] = take_byte(c);
}

static void code_texts(Coder *c, Slice *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++)
        code_text(c, texts[i]);
}

static void code_project(Coder *c, ProjectRow *r) {
    Slice *const texts[] = {&r->name, &r->prefix, &r->initial_commit};
    int64_t *const numbers[] = {&r->max_stacks,   &r->max_hold_seconds, &r->expiry_grace_seconds,
                                &r->created_ms,   &r->stack_count,      &r->leased_count,
                                &r->queued_count, &r->first_unused,     &r->last_generation,
                                &r->last_ticket,  &r->last_event};
    code_texts(c, texts, COUNT_OF(texts));
    code_numbers(c, numbers, COUNT_OF(numbers));
    code_flag(c, &r->is_deleted);
    code_flag(c, &r->is_cleaning);
    code_bytes(c, r->lease_key, sizeof r->lease_key);
}

static void code_stack(Coder *c, StackRow *r) {
    Slice *const texts[] = {&r->name, &r->branch,        &r->last_commit, &r->url,
                            &r->note, &r->before.branch, &r->holder_json};
    int64_t *const numbers[] = {&r->number,
                                &r->requested,
                                &r->requested_ms,
                                &r->created_ms,
                                &r->modified_ms,
                                &r->ticket,
                                &r->generation,
                                &r->lease_seconds,
                                &r->since_ms,
                                &r->before.requested,
                                &r->before.requested_ms,
                                &r->quiet_until_ms,
                                &r->quiet_seconds,
                                &r->quiet_untold_seconds,
                                &r->quiet_ticket,
                                &r->dirty_since,
                                &r->clean_failures};
    code_texts(c, texts, COUNT_OF(texts));
    code_numbers(c, numbers, COUNT_OF(numbers));
    r->state = (StackState)code_choice(c, (int)r->state, STACK_GONE);
    r->purpose = code_choice(c, r->purpose, PURPOSE_CLEAN + 1);
    code_flag(c, &r->is_content_unknown);
    code_flag(c, &r->is_collected);
}

static void code_request(Coder *c, RequestRow *r) {
    Slice *const texts[] = {&r->request_id, &r->branch,   &r->commit,      &r->holder_json,
                            &r->stack_name, &r->ended_by, &r->ended_reason};
    int64_t *const numbers[] = {&r->ticket,       &r->lease_seconds, &r->created_ms,
                                &r->stack_number, &r->generation,    &r->ended_ms};
    code_texts(c, texts, COUNT_OF(texts));
    code_numbers(c, numbers, COUNT_OF(numbers));
    r->state = (RequestState)code_choice(c, (int)r->state, REQUEST_OVER + 1);
    r->why = (RequestWhy)code_choice(c, (int)r->why, WHY_UNCOLLECTED + 1);
    r->purpose = code_choice(c, r->purpose, PURPOSE_CLEAN + 1);
    r->outcome = code_choice(c, r->outcome, RELEASE_BROKEN + 1);
    code_flag(c, &r->is_heard);
    code_flag(c, &r->is_reused);
    code_flag(c, &r->from_queue);
    code_flag(c, &r->is_joined);
}

static void code_event(Coder *c, EventRow *r) {
    Slice *const texts[] = {&r->stack_name, &r->branch, &r->commit, &r->by, &r->outcome, &r->note, &r->holder_json};
    int64_t *const numbers[] = {&r->id, &r->at_ms, &r->stack_number, &r->generation};
    code_texts(c, texts, COUNT_OF(texts));
    code_numbers(c, numbers, COUNT_OF(numbers));
    r->kind = code_choice(c, r->kind, EVENT_KIND_COUNT);
}

static void code_change(Coder *c, Change *change) {
    change->kind = (ChangeKind)code_choice(c, (int)change->kind, CHANGE_EVENT + 1);
    code_number(c, &change->project);
    switch (change->kind) {
    case CHANGE_PROJECT:
        code_project(c, &change->row.project_row);
        return;
    case CHANGE_STACK_GONE:
        code_number(c, &change->row.stack.number);
        return;
    case CHANGE_STACK:
        code_stack(c, &change->row.stack);
        return;
    case CHANGE_REQUEST:
        code_request(c, &change->row.request);
        return;
    case CHANGE_EVENT:
        code_event(c, &change->row.event);
        return;
    }
    c->is_bad = true;
}

static void add(Buffer *out, Change change) {
    Coder c = {.out = out};
    code_change(&c, &change);
}

void changes_add(Buffer *out, int64_t project, const WorkingSet *set) {
    if (set->project_change != ROW_CLEAN)
        add(out, (Change){.kind = CHANGE_PROJECT, .project = project, .row.project_row = set->project});
    for (size_t i = 0; i < set->stack_count; i++)
        if (set->stacks[i]->change == ROW_DELETED)
            add(out, (Change){.kind = CHANGE_STACK_GONE, .project = project, .row.stack = set->stacks[i]->row});
    for (size_t i = 0; i < set->stack_count; i++)
        if (set->stacks[i]->change == ROW_NEW || set->stacks[i]->change == ROW_CHANGED)
            add(out, (Change){.kind = CHANGE_STACK, .project = project, .row.stack = set->stacks[i]->row});
    for (size_t i = 0; i < set->request_count; i++)
        if (set->requests[i]->change != ROW_CLEAN)
            add(out, (Change){.kind = CHANGE_REQUEST, .project = project, .row.request = set->requests[i]->row});
}

void changes_add_event(Buffer *out, int64_t project, const EventRow *row) {
    add(out, (Change){.kind = CHANGE_EVENT, .project = project, .row.event = *row});
}

int changes_next(Slice *bytes, Change *out) {
    if (bytes->len == 0)
        return CHANGES_END;
    Coder c = {.in = *bytes};
    memset(out, 0, sizeof *out);
    code_change(&c, out);
    if (c.is_bad)
        return -EBADMSG;
    *bytes = c.in;
    return 0;
}
