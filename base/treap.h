/*
 * An ordered set that knows ranks: a binary search tree, balanced by random priorities (R. Seidel, C. R. Aragon,
 * "Randomized Search Trees", Algorithmica 16, 1996). Intrusive: a node lies in the struct it orders, so nothing is
 * allocated and nothing can fail. Every operation takes O(log n) steps.
 *
 * A probe is a node in a struct of the same type, on the stack, with just those members set that the order goes by.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TreapNode {
    struct TreapNode *left, *right, *parent;
    uint32_t priority, count; /* of the subtree; 0: in no treap. Zeroed memory is a node in no treap */
} TreapNode;

/* <0, 0, >0; a total order: nodes of one treap never compare equal. */
typedef int TreapOrder(const TreapNode *a, const TreapNode *b);

typedef struct Treap {
    TreapNode *root;
    TreapOrder *order;
    uint32_t seed;
} Treap;

static inline Treap treap_of(TreapOrder *order) {
    return (Treap){.order = order, .seed = 2463534242u};
}

void treap_insert(Treap *treap, TreapNode *node);
/* Does nothing for a node in no treap. */
void treap_remove(Treap *treap, TreapNode *node);
/* The node equal to the probe; NULL: none. */
TreapNode *treap_find(const Treap *treap, const TreapNode *probe);
/* The first node not before the probe; NULL: none. */
TreapNode *treap_from(const Treap *treap, const TreapNode *probe);
/* The last node not behind the probe; NULL: none. */
TreapNode *treap_up_to(const Treap *treap, const TreapNode *probe);
TreapNode *treap_first(const Treap *treap);
TreapNode *treap_last(const Treap *treap);
/* The neighbours; NULL at the ends. */
TreapNode *treap_next(const TreapNode *node);
TreapNode *treap_previous(const TreapNode *node);
/* How many nodes come before the probe. */
size_t treap_rank(const Treap *treap, const TreapNode *probe);
