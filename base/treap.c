/* Invariants: in order from left to right; no node's priority is above its parent's; counts are those of subtrees. */
#include "base/treap.h"

#include <assert.h>

static uint32_t count_of(const TreapNode *node) {
    return node != NULL ? node->count : 0;
}

static void recount(TreapNode *node) {
    node->count = 1 + count_of(node->left) + count_of(node->right);
}

/* Where `node` hangs. */
static TreapNode **link_of(Treap *treap, const TreapNode *node) {
    TreapNode *parent = node->parent;
    if (parent == NULL)
        return &treap->root;
    return parent->left == node ? &parent->left : &parent->right;
}

/* The child takes its parent's place, the parent becomes its child. */
static void rotate_up(Treap *treap, TreapNode *child) {
    TreapNode *parent = child->parent, *moved;
    *link_of(treap, parent) = child;
    child->parent = parent->parent;
    parent->parent = child;
    if (parent->left == child) {
        moved = child->right;
        parent->left = moved;
        child->right = parent;
    } else {
        moved = child->left;
        parent->right = moved;
        child->left = parent;
    }
    if (moved != NULL)
        moved->parent = parent;
    recount(parent);
    recount(child);
}

/* xorshift: G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8, 2003. */
static uint32_t next_priority(Treap *treap) {
    uint32_t x = treap->seed;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    treap->seed = x;
    return x;
}

void treap_insert(Treap *treap, TreapNode *node) {
    TreapNode **link = &treap->root, *parent = NULL;
    assert(node->count == 0);
    while (*link != NULL) {
        int compared = treap->order(node, *link);
        assert(compared != 0);
        parent = *link;
        parent->count++;
        link = compared < 0 ? &parent->left : &parent->right;
    }
    *node = (TreapNode){.parent = parent, .priority = next_priority(treap), .count = 1};
    *link = node;
    while (node->parent != NULL && node->parent->priority < node->priority)
        rotate_up(treap, node);
}

void treap_remove(Treap *treap, TreapNode *node) {
    if (node->count == 0)
        return;
    while (node->left != NULL && node->right != NULL)
        rotate_up(treap, node->left->priority > node->right->priority ? node->left : node->right);
    TreapNode *child = node->left != NULL ? node->left : node->right;
    *link_of(treap, node) = child;
    if (child != NULL)
        child->parent = node->parent;
    for (TreapNode *above = node->parent; above != NULL; above = above->parent)
        above->count--;
    *node = (TreapNode){0};
}

TreapNode *treap_find(const Treap *treap, const TreapNode *probe) {
    TreapNode *node = treap_from(treap, probe);
    return node != NULL && treap->order(node, probe) == 0 ? node : NULL;
}

TreapNode *treap_from(const Treap *treap, const TreapNode *probe) {
    TreapNode *best = NULL;
    for (TreapNode *node = treap->root; node != NULL;) {
        if (treap->order(node, probe) >= 0) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

TreapNode *treap_up_to(const Treap *treap, const TreapNode *probe) {
    TreapNode *best = NULL;
    for (TreapNode *node = treap->root; node != NULL;) {
        if (treap->order(node, probe) <= 0) {
            best = node;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

TreapNode *treap_first(const Treap *treap) {
    TreapNode *node = treap->root;
    while (node != NULL && node->left != NULL)
        node = node->left;
    return node;
}

TreapNode *treap_last(const Treap *treap) {
    TreapNode *node = treap->root;
    while (node != NULL && node->right != NULL)
        node = node->right;
    return node;
}

TreapNode *treap_next(const TreapNode *node) {
    if (node->right != NULL) {
        TreapNode *next = node->right;
        while (next->left != NULL)
            next = next->left;
        return next;
    }
    while (node->parent != NULL && node->parent->right == node)
        node = node->parent;
    return node->parent;
}

TreapNode *treap_previous(const TreapNode *node) {
    if (node->left != NULL) {
        TreapNode *previous = node->left;
        while (previous->right != NULL)
            previous = previous->right;
        return previous;
    }
    while (node->parent != NULL && node->parent->left == node)
        node = node->parent;
    return node->parent;
}

size_t treap_rank(const Treap *treap, const TreapNode *probe) {
    size_t rank = 0;
    for (const TreapNode *node = treap->root; node != NULL;) {
        if (treap->order(node, probe) < 0) {
            rank += 1 + count_of(node->left);
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return rank;
}
