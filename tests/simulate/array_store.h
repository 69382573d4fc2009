/*
 * An engine over plain arrays: every query is a linear scan and a sort, written from store.h alone. What it answers is
 * right by being naive, so it checks both lease/ (are the rows that were wanted enough?) and the other engines. Nothing is
 * kept anywhere: closing it forgets all.
 *
 * Differs from a real one: it makes no backup (-ENOTSUP), and a commit cannot fail.
 */
#pragma once

#include "store/store.h"

/* 0 | -ENOMEM. Close with store_close(). */
int array_store_open(Store **out) MUST_USE;
