/*
 * Token buckets for failed authentications; see the header.
 */
#include "service/limiter.h"

#include <errno.h>

#include "base/limits.h"

#define BUCKETS 4096

typedef struct Bucket {
    int64_t spent;     /* tokens in use */
    int64_t filled_ms; /* boot time up to which refills were counted */
} Bucket;

struct Limiter {
    pthread_mutex_t mutex;
    const Clock *clock;
    Bucket buckets[BUCKETS];
};

int limiter_new(Limiter **out, const Clock *clock) {
    OWN(freep) Limiter *l = calloc(1, sizeof *l);
    if (l == NULL || pthread_mutex_init(&l->mutex, NULL) != 0)
        return -ENOMEM;
    l->clock = clock;
    *out = steal(&l);
    return 0;
}

Limiter *limiter_free(Limiter *l) {
    if (l == NULL)
        return NULL;
    (void)pthread_mutex_destroy(&l->mutex);
    free(l);
    return NULL;
}

bool limiter_failed(Limiter *l, Slice address) {
    int64_t now = clock_boot_ms(l->clock);
    (void)pthread_mutex_lock(&l->mutex);
    Bucket *b = &l->buckets[slice_hash(address) % BUCKETS];
    int64_t refill = (now - b->filled_ms) / 1000 * FAILED_AUTH_REFILL;
    if (refill > 0) {
        b->spent = b->spent > refill ? b->spent - refill : 0;
        b->filled_ms = now;
    }
    bool is_allowed = b->spent < FAILED_AUTH_BURST;
    if (is_allowed)
        b->spent++;
    (void)pthread_mutex_unlock(&l->mutex);
    return is_allowed;
}
