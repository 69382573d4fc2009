/* The HTTP transport alone, over real sockets, against a service that echoes: connections, from many at once to their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "bench/http_load.h"
#include "unit/http_world.h"

/* ---- the end ---- */

static void after_quiesce_no_connection_is_accepted_and_answers_close(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world), held = dial(world);
    expect(fd, PLAIN_POST, 200, NULL);
    say(held, HOLDING_POST);
    stub_await_held(world->service, 1);
    http_quiesce(world->http);
    assert_int_equal(try_dial(world), -1);
    expect(fd, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503, NULL);
    assert_closed(fd);

    stub_release(world->service);
    Heard heard;
    hear(held, &heard);
    assert_int_equal(heard.status, 200);
    assert_true(has_field(&heard, "Connection: close"));
    forget(&heard);
    assert_closed(held);
    http_quiesce(world->http); /* again: no harm */
}

static void *flush(void *arg) {
    World *world = arg;
    http_flush(world->http, PATIENCE_MS);
    return NULL;
}

static void flush_waits_for_what_is_under_way(void **state) {
    World *world = *state;
    serve(world);
    http_flush(world->http, PATIENCE_MS); /* nothing is */
    enum { COUNT = 200 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(world);
        say(fds[i], HOLDING_POST);
    }
    stub_await_held(world->service, COUNT);
    http_quiesce(world->http);
    http_flush(world->http, 20); /* gives up in time */
    assert_false(is_readable(fds[0], 0));

    pthread_t flusher;
    assert_int_equal(pthread_create(&flusher, NULL, flush, world), 0);
    stub_release(world->service);
    assert_int_equal(pthread_join(flusher, NULL), 0);
    world->http = http_free(world->http);
    for (int i = 0; i < COUNT; i++) {
        assert_true(is_readable(fds[i], 0)); /* flushed means that it is here already */
        Heard heard;
        hear(fds[i], &heard);
        assert_int_equal(heard.status, 200);
        forget(&heard);
        assert_closed(fds[i]);
    }
}

static void who_waits_and_hangs_up_is_told_of(void **state) {
    World *world = *state;
    serve(world);
    enum { COUNT = 20 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(world);
        say(fds[i], HOLDING_POST);
    }
    stub_await_held(world->service, COUNT);
    assert_int_equal(stub_parked(world->service), COUNT);
    for (int i = 0; i < COUNT / 2; i++) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (i % 2 == 0)
            assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fds[i]);
    }
    stub_await_hung_up(world->service, COUNT / 2);
    stub_release(world->service);
    for (int i = COUNT / 2; i < COUNT; i++) {
        Heard heard;
        hear(fds[i], &heard);
        assert_int_equal(heard.status, 200);
        forget(&heard);
        (void)close(fds[i]);
    }
    http_flush(world->http, PATIENCE_MS);
}

static void waiters_leave_a_fifth_of_the_connections_to_others(void **state) {
    World *world = *state;
    enum { MAX = 20 };
    serve_with(world, (HttpOptions){.max_connections = MAX}, &usual_limits);
    int fds[MAX - 1];
    for (int i = 0; i < MAX - 1; i++) {
        fds[i] = dial(world);
        say(fds[i], HOLDING_POST);
    }
    stub_await_held(world->service, MAX - 1);
    assert_int_equal(stub_parked(world->service), MAX * 80 / 100);
    stub_release(world->service);
    for (int i = 0; i < MAX - 1; i++) {
        Heard heard;
        hear(fds[i], &heard);
        forget(&heard);
        (void)close(fds[i]);
    }
}

static int threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int count = -2; /* . and .. */
    while (readdir(tasks) != NULL)
        count++;
    (void)closedir(tasks);
    return count;
}

/* A request that the service holds; the `place`th. */
static int hold(const World *world, int place) {
    int fd = dial(world);
    say(fd, HOLDING_POST);
    stub_await_held(world->service, (size_t)place);
    return fd;
}

static void hear_held(int fd) {
    Heard heard;
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
}

/* libmicrohttpd looks at all that wait whenever it resumes one: a crowd has servers, each a thread, of its own. */
static void who_comes_is_not_served_among_a_crowd(void **state) {
    World *world = *state;
    enum { CROWD = 2, COUNT = 3 * CROWD };
    HttpLimits limits = usual_limits;
    limits.tick_ms = 20;
    limits.crowd = CROWD;
    serve_with(world, (HttpOptions){0}, &limits);
    int alone = threads(), fds[COUNT];
    int early = dial(world);
    expect(early, PLAIN_POST, 200, NULL);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = hold(world, i + 1);
        assert_int_equal(threads(), alone + i / CROWD);
    }
    int late = dial(world);
    expect(late, PLAIN_POST, 200, NULL);
    assert_int_equal(threads(), alone + COUNT / CROWD);
    expect(early, PLAIN_POST, 200, NULL); /* it stays where it is */
    stub_release(world->service);
    for (int i = 0; i < COUNT; i++) {
        hear_held(fds[i]);
        (void)close(fds[i]);
    }
    int64_t until_ms = clock_boot_ms(clock_system()) + PATIENCE_MS;
    while (threads() > alone + 1 && clock_boot_ms(clock_system()) < until_ms)
        (void)is_readable(late, 10);
    assert_int_equal(threads(), alone + 1); /* the one that `early` is at, and the current one */
    expect(early, PLAIN_POST, 200, NULL);
    expect(late, PLAIN_POST, 200, NULL);
    (void)close(early);
    (void)close(late);
    while (threads() > alone && clock_boot_ms(clock_system()) < until_ms)
        (void)poll(NULL, 0, 10);
    assert_int_equal(threads(), alone);
    int fd = dial(world);
    expect(fd, PLAIN_POST, 200, NULL);
    (void)close(fd);
}

static void clients_that_leave_while_they_wait_do_no_harm(void **state) {
    World *world = *state;
    serve(world);
    enum { COUNT = 100 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(world);
        say(fds[i], HOLDING_POST);
    }
    stub_await_held(world->service, COUNT);
    for (int i = 0; i < COUNT; i++) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (i % 2 == 0)
            assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fds[i]);
    }
    int fd = dial(world);
    expect(fd, PLAIN_POST, 200, NULL);
    stub_release(world->service);
    http_flush(world->http, PATIENCE_MS);
    expect(fd, PLAIN_POST, 200, NULL);
    (void)close(fd);
}

static void stopping_with_idle_and_half_sent_requests_is_clean(void **state) {
    World *world = *state;
    serve(world);
    int idle = dial(world), half = dial(world), body = dial(world);
    expect(idle, PLAIN_POST, 200, NULL);
    expect(half, PLAIN_POST, 200, NULL);
    expect(body, PLAIN_POST, 200, NULL);
    say(half, "POST /requestStack HTTP/1.1\r\nX-API");
    say(body, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 9\r\n\r\n{");
    http_quiesce(world->http);
    http_flush(world->http, PATIENCE_MS);
    world->http = http_free(world->http);
    assert_closed(idle);
    assert_closed(half);
    assert_closed(body);
}

/* ---- slow and many ---- */

static const HttpLimits short_limits = {.request_ms = 400,
                                        .idle_ms = 400,
                                        .answer_ms = 400,
                                        .tick_ms = 20,
                                        .settled_ms = 50,
                                        .pause_ms = 10,
                                        .crowd = 1000};

enum { SLOW_COUNT = 1000 };

/* One more byte on each; true while any is open. Returns within some ms. */
static bool dribble(struct pollfd *slow, const char *byte) {
    bool is_any = false;
    (void)poll(slow, SLOW_COUNT, 20);
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        char rest[512];
        if (slow[i].fd < 0)
            continue;
        if ((slow[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && recv(slow[i].fd, rest, sizeof rest, 0) <= 0) {
            (void)close(slow[i].fd);
            slow[i].fd = -1;
            continue;
        }
        (void)send(slow[i].fd, byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        is_any = true;
    }
    return is_any;
}

static void slow_senders_are_cut_and_others_do_not_notice(void **state) {
    World *world = *state;
    static const char *const starts[] = {"", "GET /heal", "POST /requestStack HTTP/1.1\r\n" AUTH "X-Slow: ",
                                         "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 60000\r\n\r\n"};
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 3 * SLOW_COUNT)
        skip();
    HttpLimits limits = short_limits;
    limits.request_ms = 1500;
    serve_with(world, (HttpOptions){0}, &limits);
    static struct pollfd slow[SLOW_COUNT];
    int64_t begun_ms = clock_boot_ms(clock_system());
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        slow[i] = (struct pollfd){.fd = dial(world), .events = POLLIN};
        say(slow[i].fd, starts[i % COUNT_OF(starts)]);
    }
    int64_t dialled_ms = clock_boot_ms(clock_system());
    int64_t longest_ms = 0;
    while (dribble(slow, "s")) {
        int64_t before_ms = clock_boot_ms(clock_system());
        int fd = dial(world);
        expect(fd, PLAIN_POST, 200, NULL);
        (void)close(fd);
        int64_t after_ms = clock_boot_ms(clock_system());
        longest_ms = after_ms - before_ms > longest_ms ? after_ms - before_ms : longest_ms;
        assert_true(after_ms - dialled_ms < PATIENCE_MS);
    }
    assert_true(clock_boot_ms(clock_system()) - begun_ms >= limits.request_ms / 2);
    assert_true(longest_ms < 5000);
}

static void a_later_request_on_a_connection_has_its_own_time(void **state) {
    World *world = *state;
    serve_with(world, (HttpOptions){0}, &short_limits);
    int fd = dial(world);
    int64_t until_ms = clock_boot_ms(clock_system()) + 3 * short_limits.request_ms;
    while (clock_boot_ms(clock_system()) < until_ms) {
        expect(fd, PLAIN_POST, 200, NULL);
        (void)is_readable(fd, (int)short_limits.request_ms / 8); /* a pause that an idle connection may make */
    }
    assert_closed(fd); /* … and a longer one */
}

static void a_pause_may_be_longer_than_a_request(void **state) {
    World *world = *state;
    HttpLimits limits = short_limits;
    limits.idle_ms = 30000;
    serve_with(world, (HttpOptions){0}, &limits);
    int fd = dial(world);
    expect(fd, PLAIN_POST, 200, NULL);
    assert_false(is_readable(fd, 3 * (int)limits.request_ms)); /* not closed */
    expect(fd, PLAIN_POST, 200, NULL);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Le");
    int64_t begun_ms = clock_boot_ms(clock_system());
    assert_closed(fd);
    assert_true(clock_boot_ms(clock_system()) - begun_ms < limits.idle_ms / 2);
}

static void who_waits_for_the_service_is_not_cut(void **state) {
    World *world = *state;
    serve_with(world, (HttpOptions){0}, &short_limits);
    int fd = dial(world);
    say(fd, HOLDING_POST);
    stub_await_held(world->service, 1);
    assert_false(is_readable(fd, (int)short_limits.request_ms * 4));
    stub_release(world->service);
    Heard heard;
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
    (void)close(fd);
}

static void who_does_not_read_the_answer_is_cut(void **state) {
    World *world = *state;
    serve_with(world, (HttpOptions){0}, &short_limits);
    stub_set_answer_size(world->service, 32 * 1024 * 1024);
    int fd = dial(world);
    say(fd, PLAIN_POST);
    assert_true(is_readable(fd, PATIENCE_MS)); /* it is on its way, and stuck */
    int64_t begun_ms = clock_boot_ms(clock_system());
    http_flush(world->http, PATIENCE_MS);
    assert_true(clock_boot_ms(clock_system()) - begun_ms < PATIENCE_MS);
    (void)close(fd);
}

static void idle_connections_make_room_for_new_ones(void **state) {
    World *world = *state;
    enum { MAX = 20, MORE = 60 };
    HttpLimits limits = short_limits;
    limits.request_ms = limits.idle_ms = 30000;
    serve_with(world, (HttpOptions){.max_connections = MAX}, &limits);
    int fds[MORE];
    for (int i = 0; i < MORE; i++) {
        fds[i] = dial(world);
        expect(fds[i], HEALTH, 200, "ok");
    }
    for (int i = 0; i < MORE; i++)
        (void)close(fds[i]);
}

static void busy_connections_are_kept_at_the_ceiling(void **state) {
    World *world = *state;
    enum { MAX = 20 };
    serve_with(world, (HttpOptions){.max_connections = MAX}, &short_limits);
    int fds[MAX], late = -1;
    for (int i = 0; i < MAX; i++) {
        fds[i] = dial(world);
        say(fds[i], HOLDING_POST);
    }
    stub_await_held(world->service, MAX);
    late = dial(world); /* the kernel holds it */
    say(late, HEALTH);
    assert_false(is_readable(late, 300));
    stub_release(world->service);
    for (int i = 0; i < MAX; i++) {
        Heard heard;
        hear(fds[i], &heard);
        assert_int_equal(heard.status, 200);
        forget(&heard);
        (void)close(fds[i]);
    }
    Heard heard;
    hear(late, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
    (void)close(late);
}

static double cpu_ms(void) {
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static void exhausted_descriptors_neither_spin_nor_last(void **state) {
    World *world = *state;
    serve(world);
    struct rlimit usual, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    tight = usual;
    tight.rlim_cur = 128;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int served = dial(world);
    expect(served, PLAIN_POST, 200, NULL);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(late >= 0);
    int fillers[128], count = 0;
    while (count < 128 && (fillers[count] = dup(0)) >= 0)
        count++;
    assert_int_equal(errno, EMFILE);

    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port_of(world))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(late, (struct sockaddr *)&peer, sizeof peer), 0);
    say(late, PLAIN_POST);
    double before_ms = cpu_ms();
    for (int i = 0; i < 20; i++) {
        assert_false(is_readable(late, 25));
        expect(served, PLAIN_POST, 200, NULL); /* who is connected notices nothing */
    }
    assert_true(cpu_ms() - before_ms < 250);

    while (count > 0)
        (void)close(fillers[--count]);
    Heard heard;
    hear(late, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
    (void)close(late);
    (void)close(served);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

/* libmicrohttpd's epoll loop stalls within seconds at these numbers; its poll loop must not. */
static void no_connection_stalls_under_load(void **state) {
    World *world = *state;
    serve(world);
    static const size_t connections[] = {128, 256};
    for (size_t i = 0; i < COUNT_OF(connections); i++) {
        HttpLoad load = {
            .address = http_address(world->http),
            .requests = {PLAIN_POST, "POST /releaseStack HTTP/1.1\r\n" AUTH "Content-Length: 7\r\n\r\nat-once",
                         "GET /listStacks?limit=10 HTTP/1.1\r\n" AUTH "\r\n"},
            .connections = connections[i],
            .duration_ms = 4000,
            .stall_ms = 2000,
        };
        HttpLoadResult result;
        assert_int_equal(http_load_run(&load, &result), 0);
        assert_int_equal(result.stalls, 0);
        assert_int_equal(result.failures, 0);
        assert_true(result.answers > connections[i]);
    }
}

static void many_parked_requests_do_not_hold_up_others(void **state) {
    World *world = *state;
    serve(world);
    enum { PARKED = 400 };
    int parked[PARKED];
    for (int i = 0; i < PARKED; i++) {
        parked[i] = dial(world);
        say(parked[i], HOLDING_POST);
    }
    stub_await_held(world->service, PARKED);
    HttpLoad load = {.address = http_address(world->http),
                     .requests = {PLAIN_POST},
                     .connections = 50,
                     .duration_ms = 1000,
                     .stall_ms = 1000};
    HttpLoadResult result;
    assert_int_equal(http_load_run(&load, &result), 0);
    assert_int_equal(result.stalls, 0);
    assert_int_equal(result.failures, 0);
    for (int i = 0; i < PARKED; i++)
        (void)close(parked[i]);
}

/* ---- addresses ---- */

static void every_form_of_address_is_understood(void **state) {
    World *world = *state;
    static const struct {
        const char *given, *bound;
    } cases[] = {{"127.0.0.1:0", "127.0.0.1:"}, {"localhost:0", ":"}, {"[::1]:0", "[::1]:"}, {":0", ":"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (cases[i].given[0] == '[' && access("/proc/net/if_inet6", F_OK) != 0)
            continue;
        serve_with(world, (HttpOptions){.address = cases[i].given}, &usual_limits);
        const char *bound = http_address(world->http);
        assert_non_null(strstr(bound, cases[i].bound));
        assert_true(port_of(world) > 0);
        world->http = http_free(world->http);
    }
    serve_with(world, (HttpOptions){.address = ":0"}, &usual_limits);
    int fd = dial(world);
    expect(fd, PLAIN_POST, 200, NULL);
    assert_string_equal(stub_last_address(world->service), "127.0.0.1"); /* not ::ffff:127.0.0.1 */
    (void)close(fd);
}

static void assert_refused(World *world, HttpOptions options, const char *in_reason) {
    Buffer reason;
    buffer_init(&reason, 1024);
    Http *http = NULL;
    options.service = world->service;
    options.log = &world->log;
    assert_true(http_new(&http, &options, &reason) < 0);
    assert_null(http);
    if (strstr(buffer_text(&reason), in_reason) == NULL)
        fail_msg("no '%s' in: %s", in_reason, buffer_text(&reason));
    buffer_deinit(&reason);
}

static void what_cannot_be_served_is_refused_with_a_reason(void **state) {
    World *world = *state;
    serve(world);
    assert_refused(world, (HttpOptions){.address = "nonsense"}, "'nonsense' is no address");
    assert_refused(world, (HttpOptions){.address = "::1:80"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:http"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:65536"}, "from 0 to 65535"); /* no port 0 */
    assert_refused(world, (HttpOptions){.address = ":-1"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "192.0.2.1:80"}, "cannot listen on 192.0.2.1:80");
    assert_refused(world, (HttpOptions){.address = http_address(world->http)}, "in use");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:0", .agents_dir = "/nowhere"}, "/nowhere");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:0", .key_path = "/k"}, "together");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:0", .certificate_path = "/c", .key_path = "/k"},
                   "cannot read /c");
}

/* ---- TLS, with openssl's command as the other side ---- */

static void make_certificate(const World *world, const char *name) {
    char command[512];
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=%s "
                   "-keyout %s/key.pem -out %s/cert.pem >/dev/null 2>&1",
                   name, world->folder, world->folder);
    assert_int_equal(system(command), 0);
}

typedef struct TlsClient {
    pid_t pid;
    int fd; /* both ways */
} TlsClient;

static void tls_dial(const World *world, TlsClient *client) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, pair[1], 0), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, pair[1], 1), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0), 0);
    char address[64];
    (void)snprintf(address, sizeof address, "%s", http_address(world->http));
    char *argv[] = {(char[]){"openssl"},
                    (char[]){"s_client"},
                    (char[]){"-quiet"},
                    (char[]){"-nocommands"},
                    (char[]){"-connect"},
                    address,
                    NULL};
    assert_int_equal(posix_spawnp(&client->pid, "openssl", &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(pair[1]);
    client->fd = pair[0];
}

static void tls_hang_up(TlsClient *client) {
    (void)close(client->fd);
    (void)kill(client->pid, SIGTERM);
    (void)waitpid(client->pid, NULL, 0);
}

static void assert_subject(const World *world, const char *name) {
    char command[256], line[256], wanted[64];
    bool is_found = false;
    (void)snprintf(command, sizeof command, "openssl s_client -connect %s </dev/null 2>&1", http_address(world->http));
    (void)snprintf(wanted, sizeof wanted, "CN = %s", name);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    while (fgets(line, sizeof line, output) != NULL)
        is_found |= strncmp(line, "subject=", 8) == 0 && strstr(line, wanted) != NULL;
    (void)pclose(output);
    assert_true(is_found);
}

static void serve_tls_with(World *world, const HttpLimits *limits) {
    if (system("openssl version >/dev/null 2>&1") != 0)
        skip();
    make_folder(world);
    make_certificate(world, "first");
    char certificate[128], key[128];
    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", world->folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", world->folder);
    serve_with(world, (HttpOptions){.certificate_path = certificate, .key_path = key}, limits);
}

static void serve_tls(World *world) {
    HttpLimits limits = usual_limits;
    limits.tick_ms = 20;
    serve_tls_with(world, &limits);
}

static void tls_serves_the_same(void **state) {
    World *world = *state;
    serve_tls(world);
    TlsClient client;
    tls_dial(world, &client);
    expect(client.fd, PLAIN_POST, 200, "\"asked\":\"{}\"");
    char *request = post_of(BODY_MAX);
    expect(client.fd, request, 200, NULL);
    free(request);
    expect(client.fd, HEALTH, 200, "ok");
    assert_subject(world, "first");
    tls_hang_up(&client);
    int plain = dial(world); /* plain text on a TLS port ends the connection */
    say(plain, HEALTH);
    Heard heard;
    hear(plain, &heard);
    assert_int_equal(heard.status, 0);
    forget(&heard);
    (void)close(plain);
}

static void a_new_certificate_drops_no_connection(void **state) {
    World *world = *state;
    serve_tls(world);
    TlsClient idle, busy;
    tls_dial(world, &idle);
    tls_dial(world, &busy);
    expect(idle.fd, PLAIN_POST, 200, NULL);
    say(busy.fd, HOLDING_POST);
    stub_await_held(world->service, 1);

    Buffer reason;
    buffer_init(&reason, 1024);
    make_certificate(world, "second");
    assert_int_equal(http_reload_tls(world->http, &reason), 0);
    assert_subject(world, "second");

    Heard heard;
    stub_release(world->service);
    hear(busy.fd, &heard);
    assert_int_equal(heard.status, 200);
    assert_true(has_field(&heard, "Connection: close"));
    forget(&heard);
    expect(idle.fd, PLAIN_POST, 200, NULL); /* opened before, asked after */
    tls_hang_up(&idle);
    tls_hang_up(&busy);

    write_file(world, "key.pem", "no key");
    assert_true(http_reload_tls(world->http, &reason) < 0);
    assert_non_null(strstr(buffer_text(&reason), "certificate and key cannot be used"));
    assert_subject(world, "second"); /* the old ones stay */
    buffer_deinit(&reason);
}

static void a_crowd_has_the_same_certificate_and_the_next(void **state) {
    World *world = *state;
    HttpLimits limits = usual_limits;
    limits.tick_ms = 20;
    limits.crowd = 1;
    serve_tls_with(world, &limits);
    int alone = threads();
    TlsClient crowd[2];
    for (int i = 0; i < 2; i++) {
        tls_dial(world, &crowd[i]);
        say(crowd[i].fd, HOLDING_POST);
        stub_await_held(world->service, (size_t)i + 1);
    }
    assert_subject(world, "first");
    assert_int_equal(threads(), alone + 2);
    Buffer reason;
    buffer_init(&reason, 1024);
    make_certificate(world, "second");
    assert_int_equal(http_reload_tls(world->http, &reason), 0);
    buffer_deinit(&reason);
    assert_subject(world, "second");
    stub_release(world->service);
    for (int i = 0; i < 2; i++) {
        Heard heard;
        hear(crowd[i].fd, &heard);
        assert_int_equal(heard.status, 200);
        assert_true(has_field(&heard, "Connection: close")); /* all earlier ones have retired */
        forget(&heard);
        tls_hang_up(&crowd[i]);
    }
}

static void certificates_may_change_often(void **state) {
    World *world = *state;
    serve_tls(world);
    Buffer reason;
    buffer_init(&reason, 4096);
    int given_up = 0;
    for (int i = 0; i < 40; i++) {
        TlsClient client;
        tls_dial(world, &client);
        expect(client.fd, PLAIN_POST, 200, NULL);
        int error = http_reload_tls(world->http, &reason);
        assert_true(error == 0 || error == -EBUSY);
        given_up += error != 0;
        expect(client.fd, PLAIN_POST, 200, NULL);
        tls_hang_up(&client);
    }
    assert_true(given_up < 40); /* servers of earlier certificates go away by themselves */
    buffer_deinit(&reason);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    json_guard_init();
    const struct CMUnitTest tests[] = {
        TEST(after_quiesce_no_connection_is_accepted_and_answers_close),
        TEST(flush_waits_for_what_is_under_way),
        TEST(who_waits_and_hangs_up_is_told_of),
        TEST(waiters_leave_a_fifth_of_the_connections_to_others),
        TEST(who_comes_is_not_served_among_a_crowd),
        TEST(clients_that_leave_while_they_wait_do_no_harm),
        TEST(stopping_with_idle_and_half_sent_requests_is_clean),
        TEST(slow_senders_are_cut_and_others_do_not_notice),
        TEST(a_later_request_on_a_connection_has_its_own_time),
        TEST(a_pause_may_be_longer_than_a_request),
        TEST(who_waits_for_the_service_is_not_cut),
        TEST(who_does_not_read_the_answer_is_cut),
        TEST(idle_connections_make_room_for_new_ones),
        TEST(busy_connections_are_kept_at_the_ceiling),
        TEST(exhausted_descriptors_neither_spin_nor_last),
        TEST(no_connection_stalls_under_load),
        TEST(many_parked_requests_do_not_hold_up_others),
        TEST(every_form_of_address_is_understood),
        TEST(what_cannot_be_served_is_refused_with_a_reason),
        TEST(tls_serves_the_same),
        TEST(a_new_certificate_drops_no_connection),
        TEST(a_crowd_has_the_same_certificate_and_the_next),
        TEST(certificates_may_change_often),
    };
    return cmocka_run_group_tests_name("http_connections", tests, NULL, NULL);
}
