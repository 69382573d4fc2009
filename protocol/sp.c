#include "protocol/sp.h"

#include <string.h>

#define IPC_MESSAGE 1
#define LENGTH_SIZE 8

const unsigned char sp_hello_req[SP_HELLO_SIZE] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
const unsigned char sp_hello_rep[SP_HELLO_SIZE] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};

static void put_number(unsigned char *out, size_t size, uint64_t number) {
    for (size_t i = size; i-- > 0; number >>= 8)
        out[i] = (unsigned char)(number & 0xff);
}

void sp_write_head(unsigned char *out, bool is_ipc, uint64_t length) {
    if (is_ipc)
        *out++ = IPC_MESSAGE;
    put_number(out, LENGTH_SIZE, length);
}

bool sp_read_head(const unsigned char *in, bool is_ipc, uint64_t *length) {
    if (is_ipc && *in++ != IPC_MESSAGE)
        return false;
    *length = 0;
    for (size_t i = 0; i < LENGTH_SIZE; i++)
        *length = *length << 8 | in[i];
    return true;
}

void sp_write_id(unsigned char out[SP_ID_SIZE], uint32_t id) {
    put_number(out, SP_ID_SIZE, id);
}

bool sp_split_trace(Slice *rest, Slice *trace) {
    for (size_t len = SP_ID_SIZE; len <= rest->len && len <= SP_TRACE_MAX; len += SP_ID_SIZE) {
        if (((unsigned char)rest->ptr[len - SP_ID_SIZE] & 0x80) == 0)
            continue;
        *trace = (Slice){.ptr = rest->ptr, .len = len};
        rest->ptr += len;
        rest->len -= len;
        return true;
    }
    return false;
}
