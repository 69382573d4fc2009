/*
 * key_read with a memory: what keys lately sent said of themselves. A client sends the same key with every request, and
 * hashing it costs more than all else that authentication does. It is a function of the text alone and says nothing of
 * whether a key is good, so nothing here has to be forgotten when one is revoked. Safe from any thread. Private to service/.
 */
#pragma once

#include "service/secrets.h"

typedef struct Claims Claims;

int claims_new(Claims **out) MUST_USE;
Claims *claims_free(Claims *claims); /* leaves no key's text in memory */
/* As key_read. */
int claims_read(Claims *claims, Slice text, KeyClaim *out) MUST_USE;
