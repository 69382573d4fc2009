/*
 * The trusted roots that a release carries, for machines (containers, mostly) that have none of their own.
 */
#pragma once

/* PEM; NULL: built without. */
const char *roots_built_in(void);
