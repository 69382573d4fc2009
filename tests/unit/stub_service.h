/*
 * A service that echoes, for tests of a transport alone. It implements service.h; the real one must not be linked.
 *
 * - The key "good" is good; any other, and none, is refused 401.
 * - Bodies (and queries, as their JSON) come back as {"operation": …, "asked": …}; a worker's thread answers them.
 * - A body that holds "at-once" is answered by service_prepare already, one that holds "refuse" is refused 400 there,
 *   one that holds "hold" waits for stub_release(): parked, if the transport lets it.
 * - joinRequest answers 202 with Retry-After 7.
 */
#pragma once

#include "service/service.h"

Service *stub_service_new(void);
/* Lets all that is held go, answers all, ends the worker. Asserts that no operation is left. */
void stub_service_free(Service *service);

void stub_release(Service *service);
/* Blocks until `count` operations are held. */
void stub_await_held(Service *service, size_t count);
/* Blocks until `count` peers of parked operations were told to have hung up. They stay held. */
void stub_await_hung_up(Service *service, size_t count);
size_t stub_parked(Service *service); /* so far */
void stub_set_ready(Service *service, bool is_ready);
size_t stub_operations(Service *service); /* made and not yet freed */
/* Answers get at least so many bytes. */
void stub_set_answer_size(Service *service, size_t size);
/* Of the last operation that was authenticated. */
const char *stub_last_credential(Service *service); /* NULL: none was sent */
const char *stub_last_address(Service *service);
