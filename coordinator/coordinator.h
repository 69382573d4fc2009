/*
 * The composition root: everything the daemon is made of, put together in one place and taken apart in the other order.
 *
 *     coordinator_new ─► serving ─► coordinator_free (drains first)
 */
#pragma once

#include "base/log.h"
#include "base/random.h"
#include "coordinator/options.h"

typedef struct Coordinator Coordinator;

/* What comes in from outside, so that tests own time, chance and the disk. All borrowed, and must outlive it. */
typedef struct CoordinatorDeps {
    const CoordinatorOptions *options;
    const char *data_dir;
    const char *store_url; /* NULL: SQLite, in the data folder */
    const Clock *clock;
    Random *random;
    const Logger *log;
    const char *vfs; /* SQLite's, by name; NULL: the default */
    void (*on_broken)(
        void *); /* on the worker's thread, once: the store promises nothing more, the process has to end */
    void *on_broken_arg;
} CoordinatorDeps;

/* Whether the folder is one to keep data in: 0, also when it is not there yet | -errno, with one sentence in `reason`; -EPERM:
 * it is somebody else's, or everybody's. */
int coordinator_check_data_dir(const char *path, Buffer *reason) MUST_USE;
/* Open for requests, with the line `ready` logged. 0 | -errno | -EIO, with one sentence in `reason`. */
int coordinator_new(Coordinator **out, const CoordinatorDeps *deps, Buffer *reason) MUST_USE;
/* Reads the certificate of --https again. */
void coordinator_reload_tls(Coordinator *coordinator);
/* Finishes what was accepted, answers it, closes. Takes NULL and half-built ones, returns NULL. */
Coordinator *coordinator_free(Coordinator *coordinator);
