/*
 * Keys and lease secrets: parsing, checking, making. OpenSSL is used here and nowhere else.
 */
#include "service/secrets.h"
#include "base/hex.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define SECRET_HEX 64
#define CRC_HEX 8

/* CRC-32 (IEEE 802.3, reflected), half a byte at a time. */
static uint32_t crc32_of(const char *data, size_t len) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)data[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

static bool is_hex(Slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return true;
}

/*
 * OpenSSL's algorithms, looked up once a process: looking one up by its name at every call costs more than the hash. They
 * are constants of the library, and shared by all threads.
 */
static struct {
    EVP_MD *sha256;
    EVP_MAC_CTX *hmac; /* set to SHA-256, without a key: to be copied */
} algorithms;

static void fetch_algorithms(void) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
    algorithms.sha256 = EVP_MD_fetch(NULL, digest, NULL);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *hmac = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac); /* the context has its own reference */
    if (hmac != NULL && EVP_MAC_CTX_set_params(hmac, parameters) == 1)
        algorithms.hmac = hmac;
    else
        EVP_MAC_CTX_free(hmac);
}

static bool has_algorithms(void) {
    static pthread_once_t fetched = PTHREAD_ONCE_INIT;
    (void)pthread_once(&fetched, fetch_algorithms);
    return algorithms.sha256 != NULL && algorithms.hmac != NULL;
}

static int sha256(Slice text, uint8_t out[HASH_SIZE]) {
    unsigned size = 0;
    return has_algorithms() && EVP_Digest(text.ptr, text.len, out, &size, algorithms.sha256, NULL) == 1 &&
                   size == HASH_SIZE
               ? 0
               : -EIO;
}

static bool hmac_sha256(const uint8_t key[HASH_SIZE], Slice text, uint8_t out[HASH_SIZE]) {
    EVP_MAC_CTX *hmac = has_algorithms() ? EVP_MAC_CTX_dup(algorithms.hmac) : NULL;
    size_t size = 0;
    bool is_made = hmac != NULL && EVP_MAC_init(hmac, key, HASH_SIZE, NULL) == 1 &&
                   EVP_MAC_update(hmac, (const unsigned char *)text.ptr, text.len) == 1 &&
                   EVP_MAC_final(hmac, out, &size, HASH_SIZE) == 1 && size == HASH_SIZE;
    EVP_MAC_CTX_free(hmac);
    return is_made;
}

/* A key of our own format: the id between its underscores, when the checksum holds. */
static bool read_own_key(Slice text, Slice *id) {
    if (text.len < CRC_HEX)
        return false;
    char crc[CRC_HEX + 1];
    (void)snprintf(crc, sizeof crc, "%08x", crc32_of(text.ptr, text.len - CRC_HEX));
    if (memcmp(crc, text.ptr + text.len - CRC_HEX, CRC_HEX) != 0)
        return false;
    Slice prefix, project, rest = text;
    return slice_split(&rest, '_', &prefix) && slice_split(&rest, '_', &project) && slice_split(&rest, '_', id) &&
           id->len == KEY_ID_SIZE - 1 && is_hex(*id) && rest.len == SECRET_HEX + CRC_HEX;
}

int key_read(Slice text, KeyClaim *out) {
    if (slice_is_absent(text) || text.len < KEY_TEXT_MIN || text.len > KEY_TEXT_MAX)
        return SECRET_MALFORMED;
    KeyClaim claim;
    Slice id;
    bool is_own = slice_starts_with(text, "sok_");
    if (is_own && !read_own_key(text, &id))
        return SECRET_MALFORMED;
    int r = sha256(text, claim.hash);
    if (r < 0)
        return r;
    if (is_own) {
        memcpy(claim.id, id.ptr, id.len);
        claim.id[id.len] = '\0';
    } else {
        hex_encode(claim.hash, (KEY_ID_SIZE - 1) / 2, claim.id);
    }
    *out = claim;
    return 0;
}

bool secret_equals(const void *a, const void *b, size_t len) {
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool key_matches(const KeyClaim *claim, const uint8_t hash[HASH_SIZE]) {
    return secret_equals(claim->hash, hash, HASH_SIZE);
}

int key_make(Random *random, Slice project, char text[KEY_TEXT_SIZE], KeyClaim *out) {
    uint8_t bytes[8 + 32];
    int r = random_fill(random, bytes, sizeof bytes);
    if (r < 0)
        return r;
    char id[KEY_ID_SIZE], secret[SECRET_HEX + 1];
    hex_encode(bytes, 8, id);
    hex_encode(bytes + 8, 32, secret);
    int len = snprintf(text, KEY_TEXT_SIZE, "sok_%.*s_%s_%s", SLICE_PRINT(project), id, secret);
    if (len < 0 || len + CRC_HEX >= KEY_TEXT_SIZE)
        return -EINVAL;
    (void)snprintf(text + len, KEY_TEXT_SIZE - (size_t)len, "%08x", crc32_of(text, (size_t)len));
    r = key_read(slice_of(text), out);
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(secret, sizeof secret);
    return r > 0 ? -EINVAL : r;
}

int lease_secret_read(Slice text, LeaseClaim *out) {
    if (slice_is_absent(text) || text.len >= LEASE_SECRET_SIZE)
        return SECRET_MALFORMED;
    LeaseClaim claim;
    Slice prefix, ticket, generation, rest = text;
    if (!slice_split(&rest, '_', &prefix) || !slice_equal_text(prefix, "sol") ||
        !slice_split(&rest, '_', &claim.project) || !slice_split(&rest, '_', &ticket) ||
        !slice_split(&rest, '_', &generation))
        return SECRET_MALFORMED;
    if (!slice_to_number(ticket, &claim.ref.ticket) || !slice_to_number(generation, &claim.ref.generation) ||
        claim.ref.ticket == 0 || rest.len != SECRET_HEX || !is_hex(rest))
        return SECRET_MALFORMED;
    claim.mac = rest;
    *out = claim;
    return 0;
}

/* hex(HMAC(lease key, "project_ticket_generation")) with a NUL. False: OpenSSL failed. */
static bool lease_mac(Slice project, LeaseRef ref, const uint8_t lease_key[HASH_SIZE], char out[SECRET_HEX + 1]) {
    char signed_text[LEASE_SECRET_SIZE];
    int len = snprintf(signed_text, sizeof signed_text, "%.*s_%lld_%lld", SLICE_PRINT(project), (long long)ref.ticket,
                       (long long)ref.generation);
    uint8_t mac[HASH_SIZE];
    if (len < 0 || !hmac_sha256(lease_key, (Slice){.ptr = signed_text, .len = (size_t)len}, mac))
        return false;
    hex_encode(mac, sizeof mac, out);
    return true;
}

bool lease_secret_is_genuine(const LeaseClaim *claim, const uint8_t lease_key[HASH_SIZE]) {
    char mac[SECRET_HEX + 1];
    return lease_mac(claim->project, claim->ref, lease_key, mac) && secret_equals(mac, claim->mac.ptr, SECRET_HEX);
}

Slice lease_secret_make(Arena *arena, Slice project, LeaseRef ref, const uint8_t lease_key[HASH_SIZE]) {
    char mac[SECRET_HEX + 1];
    if (!lease_mac(project, ref, lease_key, mac))
        return SLICE_ABSENT;
    return arena_printf(arena, "sol_%.*s_%lld_%lld_%s", SLICE_PRINT(project), (long long)ref.ticket,
                        (long long)ref.generation, mac);
}
