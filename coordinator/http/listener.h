/* A listening TCP socket from an address as people write it. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buffer.h"

#define LISTENER_ADDRESS_SIZE (INET6_ADDRSTRLEN + 16)

/* "127.0.0.1:7878", "[::1]:0", "localhost:7878", ":7878" (all addresses). `bound` gets the same with the port resolved.
 * 0 | -errno with one sentence in `reason`. The socket does not block. */
int listener_open(const char *address, int *fd, char bound[LISTENER_ADDRESS_SIZE], bool *is_loopback, Buffer *reason)
    MUST_USE;
/* The host alone, an IPv4 address in IPv6 clothing as IPv4. Returns its length; 0 for other families. */
size_t listener_format_host(const struct sockaddr *address, char out[INET6_ADDRSTRLEN]);
