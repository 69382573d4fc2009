/*
 * Rules about where an nng listener may sit, checked before nng touches the address: who may open an ipc path is decided
 * by file modes alone, and nng would unlink any file that refuses a connection, a regular one too.
 */
#pragma once

#include "base/buffer.h"

#define IPC_PATH_MAX 107 /* bytes: sockaddr_un's, less its NUL */
#define CONTROL_SOCKET_MODE 0660

/* The path of an ipc:// URL: absolute, short enough, absent or a socket. 0 | -ENAMETOOLONG | -EINVAL | -EEXIST (something
 * else is there) | -errno, with one sentence in `reason`. */
int control_check_path(const char *url, Buffer *reason) MUST_USE;
/* tcp:// or tls+tcp:// with a numeric loopback address, or localhost. */
bool control_is_loopback(const char *url);
