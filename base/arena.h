/*
 * Memory of one piece of work (a batch, a command): many small allocations, freed together. Nothing is freed singly.
 */
#pragma once

#include "base/slice.h"

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {
    ArenaBlock *newest;
    size_t used; /* bytes handed out since the last reset */
} Arena;

void arena_init(Arena *a);
void arena_deinit(Arena *a);
/* Forgets all allocations, keeps one block for the next piece of work. */
void arena_reset(Arena *a);
/* Zeroed, aligned for any type. NULL when memory is short. */
void *arena_alloc(Arena *a, size_t size) MUST_USE;
/* 0 | -ENOMEM. An absent slice copies to an absent one, an empty one to an empty one; *out untouched on failure.
 * A NUL stands behind the copy. */
int arena_copy(Arena *a, Slice s, Slice *out) MUST_USE;
/* printf into the arena, NUL-terminated behind the slice; absent when memory is short. */
Slice arena_printf(Arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
