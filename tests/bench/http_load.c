/* Answers must carry Content-Length; that is all the HTTP this understands. */
#include "bench/http_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_ROOM 8192
#define BUCKETS 1024 /* of the latency histogram: 16 a power of two */

typedef struct Client {
    int fd;
    size_t next_request;
    char answer[ANSWER_ROOM];
    size_t answer_len;
    int64_t sent_us;
    bool is_stalled;
} Client;

static int64_t now_us(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static size_t bucket_of(int64_t us) {
    size_t exponent = 0;
    uint64_t value = us > 0 ? (uint64_t)us : 0;
    while (value >= 32) {
        value >>= 1;
        exponent++;
    }
    size_t bucket = exponent * 16 + (size_t)value;
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static int64_t bucket_us(size_t bucket) {
    if (bucket < 32)
        return (int64_t)bucket;
    size_t exponent = bucket / 16 - 1;
    return (int64_t)(16 + bucket % 16) << exponent;
}

static int64_t percentile(const uint64_t *histogram, uint64_t total, double share) {
    uint64_t wanted = (uint64_t)((double)total * share), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen > wanted)
            return bucket_us(i);
    }
    return 0;
}

static int dial(const char *address) {
    char host[64];
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof host)
        return -EINVAL;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, host, &peer.sin_addr) != 1)
        return -EINVAL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof peer) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        int error = -errno;
        if (fd >= 0)
            (void)close(fd);
        return error;
    }
    return fd;
}

static bool ask(Client *client, const HttpLoad *load) {
    const char *request = load->requests[client->next_request];
    size_t len = strlen(request);
    client->next_request++;
    if (client->next_request == 8 || load->requests[client->next_request] == NULL)
        client->next_request = 0;
    client->answer_len = 0;
    client->sent_us = now_us();
    return send(client->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* 1: a whole answer is there, its status in *status. 0: not yet. -1: the connection is lost. */
static int receive(Client *client, int *status) {
    ssize_t len = recv(client->fd, client->answer + client->answer_len, ANSWER_ROOM - 1 - client->answer_len, 0);
    if (len <= 0)
        return len < 0 && errno == EAGAIN ? 0 : -1;
    client->answer_len += (size_t)len;
    client->answer[client->answer_len] = '\0';
    const char *end = strstr(client->answer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    const char *length = strcasestr(client->answer, "\r\nContent-Length:");
    if (length == NULL)
        return -1;
    size_t whole = (size_t)(end + 4 - client->answer) + (size_t)atol(length + 17);
    if (client->answer_len < whole)
        return 0;
    *status = atoi(client->answer + 9);
    return 1;
}

static int open_all(const HttpLoad *load, Client *clients, int watch) {
    for (size_t i = 0; i < load->connections; i++) {
        clients[i].fd = dial(load->address);
        if (clients[i].fd < 0)
            return clients[i].fd;
        clients[i].next_request = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        if (epoll_ctl(watch, EPOLL_CTL_ADD, clients[i].fd, &event) != 0)
            return -errno;
    }
    return 0;
}

static void count_stalls(const HttpLoad *load, Client *clients, HttpLoadResult *result) {
    int64_t now = now_us();
    for (size_t i = 0; i < load->connections; i++) {
        if (clients[i].fd < 0 || clients[i].is_stalled || now - clients[i].sent_us < load->stall_ms * 1000)
            continue;
        clients[i].is_stalled = true;
        result->stalls++;
    }
}

static void lose(Client *client, HttpLoadResult *result) {
    result->failures++;
    (void)close(client->fd);
    client->fd = -1;
}

static void hammer(const HttpLoad *load, Client *clients, int watch, HttpLoadResult *result) {
    static uint64_t histogram[BUCKETS];
    memset(histogram, 0, sizeof histogram);
    int64_t start = now_us(), looked = start, until = start + load->duration_ms * 1000, now = start;
    for (size_t i = 0; i < load->connections; i++)
        if (!ask(&clients[i], load))
            lose(&clients[i], result);
    while (now < until) {
        struct epoll_event events[256];
        int count = epoll_wait(watch, events, 256, 50);
        for (int i = 0; i < count; i++) {
            Client *client = &clients[events[i].data.u64];
            int status = 0, got = receive(client, &status);
            now = now_us();
            if (got > 0) {
                int64_t took = now - client->sent_us;
                result->longest_us = took > result->longest_us ? took : result->longest_us;
                result->answers++;
                result->failures += status >= 400;
                histogram[bucket_of(took)]++;
            }
            if (got < 0 || (got > 0 && !ask(client, load)))
                lose(client, result);
        }
        now = now_us();
        if (now - looked > 100000) {
            looked = now;
            count_stalls(load, clients, result);
        }
    }
    count_stalls(load, clients, result);
    result->duration_ms = (now_us() - start) / 1000;
    result->p50_us = percentile(histogram, result->answers, 0.50);
    result->p99_us = percentile(histogram, result->answers, 0.99);
}

int http_load_run(const HttpLoad *load, HttpLoadResult *result) {
    *result = (HttpLoadResult){0};
    Client *clients = calloc(load->connections, sizeof *clients);
    int watch = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || watch < 0) {
        free(clients);
        return -ENOMEM;
    }
    for (size_t i = 0; i < load->connections; i++)
        clients[i].fd = -1;
    int error = open_all(load, clients, watch);
    if (error == 0)
        hammer(load, clients, watch, result);
    for (size_t i = 0; i < load->connections; i++)
        if (clients[i].fd >= 0)
            (void)close(clients[i].fd);
    (void)close(watch);
    free(clients);
    return error;
}
