/* A treap against a sorted array, over seeded random inserts and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/treap.h"

#define MANY 500

typedef struct Item {
    TreapNode node; /* first */
    int key;
} Item;

static int by_key(const TreapNode *a, const TreapNode *b) {
    int x = ((const Item *)a)->key, y = ((const Item *)b)->key;
    return (x > y) - (x < y);
}

static int key_of(const TreapNode *node) {
    return node != NULL ? ((const Item *)node)->key : -1;
}

typedef struct Model {
    bool is_in[MANY];
} Model;

/* The nearest key in the model at or past `key`, going by `step`; -1: none. */
static int nearest(const Model *m, int key, int step) {
    for (; key >= 0 && key < MANY; key += step)
        if (m->is_in[key])
            return key;
    return -1;
}

static int depth_of(const TreapNode *node) {
    if (node == NULL)
        return 0;
    int left = depth_of(node->left), right = depth_of(node->right);
    return 1 + (left > right ? left : right);
}

static void compare(const Treap *treap, const Model *m) {
    size_t rank = 0;
    for (int key = 0; key < MANY; key++) {
        Item probe = {.key = key};
        TreapNode *found = treap_find(treap, &probe.node);
        assert_int_equal(key_of(found), m->is_in[key] ? key : -1);
        assert_int_equal(key_of(treap_from(treap, &probe.node)), nearest(m, key, 1));
        assert_int_equal(key_of(treap_up_to(treap, &probe.node)), nearest(m, key, -1));
        assert_int_equal(treap_rank(treap, &probe.node), rank);
        if (found != NULL) {
            assert_int_equal(key_of(treap_next(found)), nearest(m, key + 1, 1));
            assert_int_equal(key_of(treap_previous(found)), nearest(m, key - 1, -1));
        }
        rank += m->is_in[key];
    }
    assert_int_equal(treap->root != NULL ? treap->root->count : 0, rank);
    assert_int_equal(key_of(treap_first(treap)), nearest(m, 0, 1));
    assert_int_equal(key_of(treap_last(treap)), nearest(m, MANY - 1, -1));
}

static void it_is_a_sorted_set_whatever_comes_and_goes(void **state) {
    (void)state;
    static Item items[MANY];
    Treap treap = treap_of(by_key);
    Model m = {0};
    unsigned random = 1;
    for (int i = 0; i < MANY; i++)
        items[i] = (Item){.key = i};
    for (int step = 0; step < 4000; step++) {
        random = random * 1103515245u + 12345u;
        int key = (int)(random >> 8) % MANY;
        if (m.is_in[key])
            treap_remove(&treap, &items[key].node);
        else
            treap_insert(&treap, &items[key].node);
        m.is_in[key] = !m.is_in[key];
        assert_int_equal(items[key].node.count != 0, m.is_in[key]);
        if (step % 97 == 0)
            compare(&treap, &m);
    }
    compare(&treap, &m);
}

static void removing_what_is_not_in_it_changes_nothing(void **state) {
    (void)state;
    Item one = {.key = 1}, other = {.key = 2};
    Treap treap = treap_of(by_key);
    treap_insert(&treap, &one.node);
    treap_remove(&treap, &other.node);
    assert_int_equal(treap.root->count, 1);
    treap_remove(&treap, &one.node);
    treap_remove(&treap, &one.node);
    assert_null(treap.root);
    assert_null(treap_first(&treap));
    assert_null(treap_last(&treap));
}

static void rising_keys_do_not_make_a_list_of_it(void **state) {
    (void)state;
    enum { RISING = 20000 };
    Item *items = calloc(RISING, sizeof *items);
    assert_non_null(items);
    Treap treap = treap_of(by_key);
    for (int i = 0; i < RISING; i++) {
        items[i].key = i;
        treap_insert(&treap, &items[i].node);
    }
    /* About 2 ln n on the way to an average node; a list would be 20,000 deep. */
    assert_true(depth_of(treap.root) < 60);
    free(items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_sorted_set_whatever_comes_and_goes),
        cmocka_unit_test(removing_what_is_not_in_it_changes_nothing),
        cmocka_unit_test(rising_keys_do_not_make_a_list_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
