/* getaddrinfo, socket, bind, listen, and addresses as text. */
#include "http/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 255
#define BACKLOG 4096 /* the kernel lowers it to net.core.somaxconn */

static void free_addresses(struct addrinfo **addresses) {
    if (*addresses != NULL)
        freeaddrinfo(*addresses);
}

/* Cuts "host:port" and "[host]:port". False: it is neither. */
static bool split_address(const char *address, char host[HOST_MAX + 1], const char **port) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0')
        return false;
    const char *start = address;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    } else if (memchr(start, ':', len) != NULL) {
        return false; /* an IPv6 address wants brackets: "::1:80" could be read in two ways */
    }
    if (len > HOST_MAX)
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    *port = colon + 1;
    return true;
}

/* getaddrinfo would cut a longer number down to its last 16 bits. */
static bool is_port(const char *text) {
    int64_t number = 0;
    return slice_to_number(slice_of(text), &number) && number <= 65535;
}

/* 0 | -errno. */
static int open_one(const struct addrinfo *address, bool is_everywhere, int *out) {
    OWN(closep) int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int yes = 1, only_v6 = is_everywhere ? 0 : 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        return -errno;
    if (address->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6) != 0)
        return -errno;
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
        return -errno;
    *out = fd;
    fd = -1;
    return 0;
}

size_t listener_format_host(const struct sockaddr *address, char out[INET6_ADDRSTRLEN]) {
    const void *bytes = NULL;
    int family = address->sa_family;
    if (family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        bytes = v6;
        if (IN6_IS_ADDR_V4MAPPED(v6)) {
            family = AF_INET;
            bytes = v6->s6_addr + 12;
        }
    }
    if (bytes == NULL || inet_ntop(family, bytes, out, INET6_ADDRSTRLEN) == NULL) {
        out[0] = '\0';
        return 0;
    }
    return strlen(out);
}

/* What was bound, and whether only this machine can reach it. */
static int describe(int fd, char bound[LISTENER_ADDRESS_SIZE], bool *is_loopback) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0)
        return -errno;
    char host[INET6_ADDRSTRLEN] = "";
    (void)listener_format_host(&address.any, host);
    if (address.any.sa_family == AF_INET6) {
        *is_loopback = IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
        (void)snprintf(bound, LISTENER_ADDRESS_SIZE, "[%s]:%u", host, (unsigned)ntohs(address.v6.sin6_port));
    } else {
        *is_loopback = ntohl(address.v4.sin_addr.s_addr) >> 24 == 127;
        (void)snprintf(bound, LISTENER_ADDRESS_SIZE, "%s:%u", host, (unsigned)ntohs(address.v4.sin_port));
    }
    return 0;
}

int listener_open(const char *address, int *fd, char bound[LISTENER_ADDRESS_SIZE], bool *is_loopback, Buffer *reason) {
    char host[HOST_MAX + 1];
    const char *port = NULL;
    if (!split_address(address, host, &port) || !is_port(port)) {
        buffer_printf(reason, "'%s' is no address: write HOST:PORT, [IPv6]:PORT or :PORT, PORT from 0 to 65535",
                      address);
        return -EINVAL;
    }
    /* Without a host: IPv6 first, since its socket takes IPv4 along; IPv4 alone where the machine has no IPv6. */
    static const int everywhere[] = {AF_INET6, AF_INET}, named[] = {AF_UNSPEC};
    bool is_everywhere = host[0] == '\0';
    const int *families = is_everywhere ? everywhere : named;
    size_t family_count = is_everywhere ? COUNT_OF(everywhere) : COUNT_OF(named);

    int error = -EADDRNOTAVAIL;
    for (size_t i = 0; i < family_count; i++) {
        OWN(free_addresses) struct addrinfo *found = NULL;
        struct addrinfo hints = {
            .ai_family = families[i], .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
        int problem = getaddrinfo(is_everywhere ? NULL : host, port, &hints, &found);
        if (problem != 0) {
            if (i + 1 < family_count)
                continue;
            buffer_printf(reason, "'%s' is no address of this machine: %s", address, gai_strerror(problem));
            return -EADDRNOTAVAIL;
        }
        OWN(closep) int opened = -1;
        error = open_one(found, is_everywhere, &opened);
        if (error == 0)
            error = describe(opened, bound, is_loopback);
        if (error == 0) {
            *fd = opened;
            opened = -1;
            return 0;
        }
        if (error == -EADDRINUSE)
            break;
    }
    buffer_printf(reason, "cannot listen on %s: %s", address, strerror(-error));
    return error;
}
