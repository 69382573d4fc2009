/*
 * Memory of one piece of work, handed out from blocks that double. Invariant: allocations come from the newest block
 * alone; after a reset at most one block of at most KEPT_BLOCK_MAX bytes stays.
 */
#include "base/arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)16 * 1024)
#define KEPT_BLOCK_MAX ((size_t)1024 * 1024)

struct ArenaBlock {
    ArenaBlock *older;
    size_t used, capacity;
    max_align_t memory[];
};

void arena_init(Arena *a) {
    *a = (Arena){.newest = NULL};
}

static void free_blocks(ArenaBlock *block) {
    while (block != NULL) {
        ArenaBlock *older = block->older;
        free(block);
        block = older;
    }
}

void arena_deinit(Arena *a) {
    if (a == NULL)
        return;
    free_blocks(a->newest);
    arena_init(a);
}

void arena_reset(Arena *a) {
    ArenaBlock *kept = a->newest;
    a->used = 0;
    if (kept == NULL)
        return;
    free_blocks(kept->older);
    kept->older = NULL;
    kept->used = 0;
    if (kept->capacity > KEPT_BLOCK_MAX) {
        free(kept);
        a->newest = NULL;
    }
}

static ArenaBlock *add_block(Arena *a, size_t size) {
    size_t capacity = a->newest != NULL ? a->newest->capacity * 2 : FIRST_BLOCK;
    if (capacity > KEPT_BLOCK_MAX)
        capacity = KEPT_BLOCK_MAX;
    if (capacity < size)
        capacity = size;
    if (capacity > PTRDIFF_MAX - sizeof(ArenaBlock))
        return NULL;
    ArenaBlock *block = malloc(sizeof *block + capacity);
    if (block == NULL)
        return NULL;
    *block = (ArenaBlock){.older = a->newest, .capacity = capacity};
    a->newest = block;
    return block;
}

void *arena_alloc(Arena *a, size_t size) {
    const size_t unit = _Alignof(max_align_t);
    if (size > SIZE_MAX - unit)
        return NULL;
    size_t rounded = size == 0 ? unit : (size + unit - 1) / unit * unit;
    ArenaBlock *block = a->newest;
    if (block == NULL || block->capacity - block->used < rounded)
        block = add_block(a, rounded);
    if (block == NULL)
        return NULL;
    void *memory = (char *)block->memory + block->used;
    block->used += rounded;
    a->used += rounded;
    return memset(memory, 0, rounded);
}

int arena_copy(Arena *a, Slice s, Slice *out) {
    if (slice_is_absent(s)) {
        *out = SLICE_ABSENT;
        return 0;
    }
    char *copy = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, s.ptr, s.len);
    *out = (Slice){.ptr = copy, .len = s.len};
    return 0;
}

Slice arena_printf(Arena *a, const char *format, ...) {
    char shorter[256]; /* most texts: formatted once */
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(shorter, sizeof shorter, format, arguments);
    va_end(arguments);
    char *text = len >= 0 ? arena_alloc(a, (size_t)len + 1) : NULL;
    if (text == NULL)
        return SLICE_ABSENT;
    if ((size_t)len < sizeof shorter) {
        memcpy(text, shorter, (size_t)len);
    } else {
        va_start(arguments, format);
        (void)vsnprintf(text, (size_t)len + 1, format, arguments);
        va_end(arguments);
    }
    return (Slice){.ptr = text, .len = (size_t)len};
}
