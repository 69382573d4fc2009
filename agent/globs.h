/*
 * Which paths of a repository are meant: patterns, one a line. Pure.
 *
 *     *    any run of characters but /        **     any run, / included; `**` + `/` also none
 *     ?    one character but /                [a-z]  one character of a class, [!a-z] one that is not
 *     \x   x as it is                         !…     takes out again what a pattern before it took in
 *
 * The last pattern that matches a path counts. A pattern whose last part is a plain name means all in that folder too. No
 * pattern at all means everything, and so do `.` and a first one that takes out.
 */
#pragma once

#include "base/buffer.h"

#define GLOB_MAX 1024             /* bytes of one pattern */
#define GLOBS_MAX ((size_t)16384) /* bytes of all of them */

/* is_container: a submodule or a symbolic link, whose change may be one of anything below that path. */
bool globs_match(Slice patterns, Slice path, bool is_container);
/* NULL when they can be used, else the rest of a sentence: "has a pattern of more than 1024 bytes". */
const char *globs_check(Slice patterns);
