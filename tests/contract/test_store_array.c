/* The contract suite over plain arrays, the store of the simulations. */
#include "contract/store_suite.h"
#include "simulate/array_store.h"

static int open_array(Store **out, void *arg) {
    (void)arg;
    return array_store_open(out);
}

int main(void) {
    return store_suite_run("store: array", open_array, NULL, NULL);
}
