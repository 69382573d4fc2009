/*
 * A command line as bytes, for any program's table: words separated by NUL; those that look like `NAME=value` before the
 * first word that does not are the environment.
 */
#pragma once

#include "base/options.h"

/* Parses it into `values_size` zeroed bytes and checks what options.h promises. */
void command_line_try(const Program *program, size_t values_size, const uint8_t *data, size_t size);
