/*
 * The items of a DynamoDB table, in whatever form they were got out of it:
 *
 *     aws dynamodb scan         {"Items": [{"SK": {"S": "…"}, …}, …], "Count": …}, on several lines
 *     an export of it to S3     a line each: {"Item": {"SK": {"S": "…"}, …}}      (gunzip first)
 *     anything else             plain items, {"SK": "…", …}: a line each, a list of them, or in "Items"
 */
#pragma once

#include <jansson.h>

#include "base/buffer.h"

/* A new reference to the list of all items, each plain: attributes are texts, booleans, numbers or null; what is of another
 * type is left out. 0 | TRANSFER_REFUSED (transfer/lines.h) with what is wrong in `reason` | -ENOMEM. */
int original_items_parse(Slice text, json_t **items, Buffer *reason) MUST_USE;
