/* A table of fixed size, addressed by a key's last bytes, which are its checksum; who comes last stays. */
#include "service/claims.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

typedef struct Seen {
    size_t len; /* of the text; 0: nobody yet */
    char text[KEY_TEXT_MAX];
    KeyClaim claim;
} Seen;

struct Claims {
    pthread_mutex_t mutex;
    Seen seen[CLAIMS_KEPT];
};

int claims_new(Claims **out) {
    OWN(freep) Claims *c = calloc(1, sizeof *c);
    if (c == NULL || pthread_mutex_init(&c->mutex, NULL) != 0)
        return -ENOMEM;
    *out = steal(&c);
    return 0;
}

Claims *claims_free(Claims *c) {
    if (c == NULL)
        return NULL;
    (void)pthread_mutex_destroy(&c->mutex);
    explicit_bzero(c, sizeof *c);
    free(c);
    return NULL;
}

static Seen *seen_of(Claims *c, Slice text) {
    enum { END = 8 };
    Slice end = {.ptr = text.ptr + text.len - END, .len = END};
    return &c->seen[slice_hash(end) % CLAIMS_KEPT];
}

int claims_read(Claims *c, Slice text, KeyClaim *out) {
    if (text.len < KEY_TEXT_MIN || text.len > KEY_TEXT_MAX)
        return SECRET_MALFORMED;
    Seen *seen = seen_of(c, text);
    (void)pthread_mutex_lock(&c->mutex);
    bool is_seen = text.len == seen->len && secret_equals(text.ptr, seen->text, text.len);
    if (is_seen)
        *out = seen->claim;
    (void)pthread_mutex_unlock(&c->mutex);
    if (is_seen)
        return 0;
    KeyClaim claim;
    int r = key_read(text, &claim);
    if (r != 0)
        return r;
    (void)pthread_mutex_lock(&c->mutex);
    seen->len = text.len;
    memcpy(seen->text, text.ptr, text.len);
    seen->claim = claim;
    (void)pthread_mutex_unlock(&c->mutex);
    *out = claim;
    return 0;
}
